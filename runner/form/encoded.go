package form

import (
	"io"
	"strings"
)

// readEncoded reads an application/x-www-form-urlencoded body.
func (in *Input) readEncoded(body io.Reader) error {
	text, err := readText(body, "the urlencoded body")
	if err != nil {
		return err
	}
	return in.addPairs(string(text), "the body", func(string) bool { return true })
}

// readText reads a body into memory, up to MaxTextBytes.
func readText(body io.Reader, what string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, MaxTextBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxTextBytes {
		return nil, Faultf("%s has more than %d bytes; send large values as files in a multipart/form-data body", what, MaxTextBytes)
	}
	return text, nil
}

// addPairs adds the pairs of s for whose names wanted returns true.
func (in *Input) addPairs(s, where string, wanted func(name string) bool) error {
	for len(s) > 0 {
		var pair string
		pair, s, _ = strings.Cut(s, "&")
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok := unescape(rawName)
		if !ok {
			return badEscape(rawName, where)
		}
		value, ok := unescape(rawValue)
		if !ok {
			return badEscape(name, where)
		}
		if !wanted(name) {
			continue
		}
		if err := in.add(name, value); err != nil {
			return err
		}
	}
	return nil
}

func badEscape(name, where string) *Fault {
	return Faultf("field %q in %s has a %% without two hex digits after it; write %%25 for the sign itself", clip(name), where)
}

// unescape decodes "+" and "%XX". It returns false if a "%" comes without two hex digits.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high > 15 || low > 15 {
				return "", false
			}
			b = append(b, high<<4|low)
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), true
}

// unhex returns the value of a hex digit, and more than 15 for other bytes.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
