package task

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxOutcomeHeader is the most bytes that HeaderOutcome's value has.
const MaxOutcomeHeader = 32 << 10

// Header returns the outcome as HeaderOutcome's value: JSON in printable ASCII,
// without the result's files. A detail or log tail that would make it larger than
// MaxOutcomeHeader is cut.
func (o *Outcome) Header() (string, error) {
	c := *o
	if c.Result != nil {
		r := *c.Result
		r.Files = nil
		c.Result = &r
	}
	for {
		b, err := json.Marshal(&c)
		if err != nil {
			return "", fmt.Errorf("encode outcome: %w", err)
		}
		s := asciiJSON(b)
		switch {
		case len(s) <= MaxOutcomeHeader:
			return s, nil
		case c.LogTail != "":
			c.LogTail = validEnd(c.LogTail, len(c.LogTail)/2)
		case c.Detail != "":
			c.Detail = validStart(c.Detail, len(c.Detail)/2)
		default:
			return "", fmt.Errorf("encode outcome: %d bytes, at most %d are allowed", len(s), MaxOutcomeHeader)
		}
	}
}

// ParseOutcome reads what Header returned.
func ParseOutcome(header string) (Outcome, error) {
	var o Outcome
	if len(header) > MaxOutcomeHeader {
		return o, fmt.Errorf("read outcome: %d bytes, at most %d are allowed", len(header), MaxOutcomeHeader)
	}
	if err := json.Unmarshal([]byte(header), &o); err != nil {
		return o, fmt.Errorf("read outcome: %w", err)
	}
	return o, nil
}

// asciiJSON escapes what is not printable ASCII: DEL is no good in a header, and
// other bytes are at the mercy of who reads it.
func asciiJSON(b []byte) string {
	var s strings.Builder
	s.Grow(len(b))
	for len(b) > 0 {
		if b[0] >= ' ' && b[0] < 0x7f {
			s.WriteByte(b[0])
			b = b[1:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&s, `\u%04x`, 0xd800+r>>10)
			r = 0xdc00 + r&0x3ff
		}
		fmt.Fprintf(&s, `\u%04x`, r)
	}
	return s.String()
}

// validEnd returns at most the last n bytes of s, from a rune's start on.
func validEnd(s string, n int) string {
	s = s[len(s)-n:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

// validStart returns at most the first n bytes of s, up to a rune's end.
func validStart(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
