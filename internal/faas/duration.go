package faas

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as a Go string ("90s") in JSON.
type Duration time.Duration

// String returns the Go form, e.g. "1m30s".
func (d Duration) String() string { return time.Duration(d).String() }

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// MarshalJSON writes the Go form as a JSON string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(ShortDuration(time.Duration(d))) }

// UnmarshalJSON accepts a Go duration string only; a bare number has no unit and is refused.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s is no duration; write a string such as \"90s\" or \"5m\"", Clip(string(b)))
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// ParseDuration reads a Go duration string such as "90s", in ASCII digits.
func ParseDuration(s string) (Duration, error) {
	v, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; write a string such as \"90s\" or \"5m\"", Clip(s))
	}
	return Duration(v), nil
}

// ShortDuration writes "5m" where Go writes "5m0s".
func ShortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
