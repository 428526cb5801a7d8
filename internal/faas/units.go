package faas

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
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
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(shortDuration(time.Duration(d))) }

// UnmarshalJSON accepts a Go duration string only; a bare number has no unit and is refused.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s is no duration; write a string such as \"90s\" or \"5m\"", clip(string(b)))
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
		return 0, fmt.Errorf("%q is no duration; write a string such as \"90s\" or \"5m\"", clip(s))
	}
	return Duration(v), nil
}

// shortDuration writes "5m" where Go writes "5m0s".
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Bytes is a size. JSON takes a whole number of bytes or a string with Ki, Mi or Gi; it is written as a number.
type Bytes int64

// Binary multiples of a byte.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
)

// UnmarshalJSON accepts 1048576, "1048576" and "1Mi".
func (n *Bytes) UnmarshalJSON(b []byte) error {
	s := strings.TrimSpace(string(b))
	if strings.HasPrefix(s, `"`) {
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("%s is no size", clip(string(b)))
		}
	}
	v, err := ParseBytes(s)
	if err != nil {
		return err
	}
	*n = v
	return nil
}

// ParseBytes reads a whole number with an optional Ki, Mi or Gi.
func ParseBytes(s string) (Bytes, error) {
	num, unit := s, Bytes(1)
	for suffix, u := range map[string]Bytes{"Ki": KiB, "Mi": MiB, "Gi": GiB} {
		if cut, ok := strings.CutSuffix(s, suffix); ok {
			num, unit = cut, u
		}
	}
	v, err := strconv.ParseInt(num, 10, 64)
	if err != nil || strings.HasPrefix(num, "+") {
		return 0, fmt.Errorf("%q is no size; write bytes as a number, or a string such as \"64Mi\"", clip(s))
	}
	if v > math.MaxInt64/int64(unit) || v < math.MinInt64/int64(unit) {
		return 0, fmt.Errorf("%q is too large a size", clip(s))
	}
	return Bytes(v) * unit, nil
}

// String returns the shortest exact form, e.g. "64Mi" or "1000".
func (n Bytes) String() string {
	switch {
	case n == 0:
		return "0"
	case n%GiB == 0:
		return strconv.FormatInt(int64(n/GiB), 10) + "Gi"
	case n%MiB == 0:
		return strconv.FormatInt(int64(n/MiB), 10) + "Mi"
	case n%KiB == 0:
		return strconv.FormatInt(int64(n/KiB), 10) + "Ki"
	}
	return strconv.FormatInt(int64(n), 10)
}
