package form

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"davit/internal/faas"
)

// parsePythonList parses a Python list of string literals in single or double quotes, with Python's escapes
// (docs.python.org/3/reference/lexical_analysis.html).
func parsePythonList(s string) ([]string, error) {
	p := pythonList{rest: s}
	list := []string{}
	if !p.take('[') {
		return nil, errors.New("it does not begin with [")
	}
	for !p.take(']') {
		item, err := p.literal()
		if err != nil {
			return nil, err
		}
		list = append(list, item)
		if !p.take(',') && !p.ahead(']') {
			return nil, fmt.Errorf("a comma or ] is missing before %q", faas.Clip(p.rest))
		}
	}
	if p.skip(); p.rest != "" {
		return nil, fmt.Errorf("after the list comes %q", faas.Clip(p.rest))
	}
	return list, nil
}

// pythonList is the text that parsePythonList has not read yet.
type pythonList struct{ rest string }

func (p *pythonList) skip() { p.rest = strings.TrimLeft(p.rest, " \t\r\n\f") }

// ahead reports whether c is the next character after blanks.
func (p *pythonList) ahead(c byte) bool {
	p.skip()
	return p.rest != "" && p.rest[0] == c
}

func (p *pythonList) take(c byte) bool {
	if !p.ahead(c) {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *pythonList) literal() (string, error) {
	var quote byte
	switch {
	case p.take('\''):
		quote = '\''
	case p.take('"'):
		quote = '"'
	case p.rest == "":
		return "", errors.New("the list is not closed with ]")
	default:
		return "", fmt.Errorf("%q is not a string in quotes", faas.Clip(p.rest))
	}
	var text strings.Builder
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch c {
		case quote:
			return text.String(), nil
		case '\n':
			return "", errors.New("a string ends before its quote is closed")
		case '\\':
			if err := p.escape(&text); err != nil {
				return "", err
			}
		default:
			text.WriteByte(c)
		}
	}
	return "", errors.New("a string ends before its quote is closed")
}

// pythonEscapes are the escapes of one character, each followed by its meaning.
const pythonEscapes = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v"

// escape parses the rest of an escape sequence. As in Python, the backslash of an unknown escape stays.
func (p *pythonList) escape(text *strings.Builder) error {
	if p.rest == "" {
		return errors.New("a string ends with a backslash")
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	for i := 0; i < len(pythonEscapes); i += 2 {
		if pythonEscapes[i] == c {
			text.WriteByte(pythonEscapes[i+1])
			return nil
		}
	}
	switch {
	case c == '\n':
		return nil
	case c == 'x':
		return p.codePoint(text, 2)
	case c == 'u':
		return p.codePoint(text, 4)
	case c == 'U':
		return p.codePoint(text, 8)
	case c >= '0' && c <= '7':
		return p.octal(text, c)
	}
	text.WriteByte('\\')
	text.WriteByte(c)
	return nil
}

func (p *pythonList) codePoint(text *strings.Builder, digits int) error {
	if len(p.rest) < digits {
		return errors.New("a string ends within an escape")
	}
	n, err := strconv.ParseUint(p.rest[:digits], 16, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return fmt.Errorf("%q is not a character", faas.Clip(p.rest[:digits]))
	}
	text.WriteRune(rune(n))
	p.rest = p.rest[digits:]
	return nil
}

// octal parses the rest of an octal escape, which has up to three digits.
func (p *pythonList) octal(text *strings.Builder, first byte) error {
	n := rune(first - '0')
	for i := 0; i < 2 && p.rest != "" && p.rest[0] >= '0' && p.rest[0] <= '7'; i++ {
		n = n<<3 | rune(p.rest[0]-'0')
		p.rest = p.rest[1:]
	}
	text.WriteRune(n)
	return nil
}
