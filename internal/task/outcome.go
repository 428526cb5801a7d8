package task

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxOutcomeHeader is how many bytes the value of HeaderOutcome may have.
const MaxOutcomeHeader = 32 << 10

// Header returns the outcome as the value of HeaderOutcome: JSON in printable ASCII, without the result's files. Header
// cuts the log tail, then the detail, until the value has at most MaxOutcomeHeader bytes. It is an error if it is still
// larger.
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

// ParseOutcome parses the value that Header returned.
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

// asciiJSON escapes all but printable ASCII, because headers must not contain DEL, and programs differ in how they
// decode other bytes.
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

// validEnd returns at most the last n bytes of s, and begins with a whole character.
func validEnd(s string, n int) string {
	s = s[len(s)-n:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

// validStart returns at most the first n bytes of s, and ends with a whole character.
func validStart(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
