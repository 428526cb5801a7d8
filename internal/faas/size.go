package faas

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

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
			return fmt.Errorf("%s is no size", Clip(string(b)))
		}
	}
	v, err := ParseBytes(s)
	if err != nil {
		return err
	}
	*n = v
	return nil
}

// UnmarshalText accepts what ParseBytes does.
func (n *Bytes) UnmarshalText(b []byte) error {
	v, err := ParseBytes(string(b))
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
		return 0, fmt.Errorf("%q is no size; write bytes as a number, or a string such as \"64Mi\"", Clip(s))
	}
	if v > math.MaxInt64/int64(unit) || v < math.MinInt64/int64(unit) {
		return 0, fmt.Errorf("%q is too large a size", Clip(s))
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
