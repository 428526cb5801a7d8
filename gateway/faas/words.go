package faas

import (
	"errors"
	"strings"
)

// SplitWords splits a line into words as a POSIX shell does, without any
// expansion: single quotes, double quotes (in which a backslash escapes only
// $, `, ", \ and a newline), backslash, and blanks between words. $, `, *, #,
// ~ and operators such as | are ordinary characters. An unterminated quote,
// a backslash at the end and a NUL are errors.
func SplitWords(line string) ([]string, error) {
	s := wordSplitter{line: line}
	for s.pos < len(s.line) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.flush()
	return s.words, nil
}

// wordSplitter is the state of SplitWords.
type wordSplitter struct {
	line  string
	pos   int
	word  strings.Builder
	begun bool // a word has begun, if only by empty quotes
	words []string
}

func (s *wordSplitter) step() error {
	c := s.line[s.pos]
	s.pos++
	switch c {
	case ' ', '\t', '\n', '\r':
		s.flush()
	case '\'':
		return s.single()
	case '"':
		return s.double()
	case '\\':
		return s.escape()
	case 0:
		return errors.New("a command holds no NUL characters")
	default:
		s.put(c)
	}
	return nil
}

func (s *wordSplitter) put(c byte) {
	s.begun = true
	s.word.WriteByte(c)
}

func (s *wordSplitter) flush() {
	if s.begun {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.begun = false
}

func (s *wordSplitter) single() error {
	end := strings.IndexByte(s.line[s.pos:], '\'')
	if end < 0 {
		return errors.New("a single quote is not closed; close it, or write \\' for the character itself")
	}
	quoted := s.line[s.pos : s.pos+end]
	if strings.IndexByte(quoted, 0) >= 0 {
		return errors.New("a command holds no NUL characters")
	}
	s.begun = true
	s.word.WriteString(quoted)
	s.pos += end + 1
	return nil
}

func (s *wordSplitter) double() error {
	s.begun = true
	for s.pos < len(s.line) {
		c := s.line[s.pos]
		s.pos++
		switch {
		case c == '"':
			return nil
		case c == 0:
			return errors.New("a command holds no NUL characters")
		case c == '\\' && s.pos < len(s.line) && strings.IndexByte("$`\"\\\n", s.line[s.pos]) >= 0:
			if s.line[s.pos] != '\n' {
				s.put(s.line[s.pos])
			}
			s.pos++
		default:
			s.put(c)
		}
	}
	return errors.New("a double quote is not closed; close it, or write \\\" for the character itself")
}

func (s *wordSplitter) escape() error {
	if s.pos == len(s.line) {
		return errors.New("the line ends in a backslash; write \\\\ for the character itself")
	}
	c := s.line[s.pos]
	s.pos++
	switch c {
	case 0:
		return errors.New("a command holds no NUL characters")
	case '\n': // continues the line
	default:
		s.put(c)
	}
	return nil
}
