package faas

import (
	"errors"
	"strings"
)

// SplitWords splits a line into words as a POSIX shell does, without any expansion: single quotes, double quotes (in
// which a backslash escapes only $, `, ", \ and a newline), backslash, and blanks between words. $, `, *, #, ~ and
// operators such as | are ordinary characters, a carriage return is a blank. A quote that is not closed and a backslash
// at the end are errors.
func SplitWords(line string) ([]string, error) {
	split, err := SplitLine(line)
	if err != nil {
		return nil, err
	}
	words := make([]string, len(split))
	for i, w := range split {
		words[i] = w.Text
	}
	return words, nil
}

// Word is a word of a line.
type Word struct {
	Text string // unquoted
	At   int    // index of its first byte in the line, quotes included
}

// SplitLine splits a line as SplitWords does, and says where each word begins.
func SplitLine(line string) ([]Word, error) {
	s := wordSplitter{line: line, at: -1}
	for s.pos < len(s.line) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.flush()
	return s.words, nil
}

// wordSplitter is the state of SplitLine.
type wordSplitter struct {
	line  string
	pos   int
	text  strings.Builder
	at    int // where the word begins, if only with empty quotes; -1 between words
	words []Word
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
	default:
		s.begin()
		s.text.WriteByte(c)
	}
	return nil
}

// begin marks that the character just read belongs to a word.
func (s *wordSplitter) begin() {
	if s.at < 0 {
		s.at = s.pos - 1
	}
}

func (s *wordSplitter) flush() {
	if s.at >= 0 {
		s.words = append(s.words, Word{Text: s.text.String(), At: s.at})
	}
	s.text.Reset()
	s.at = -1
}

func (s *wordSplitter) single() error {
	s.begin()
	quoted, _, closed := strings.Cut(s.line[s.pos:], "'")
	if !closed {
		return errors.New(`a single quote is not closed; close it, or write \' for the character itself`)
	}
	s.text.WriteString(quoted)
	s.pos += len(quoted) + 1
	return nil
}

func (s *wordSplitter) double() error {
	s.begin()
	for s.pos < len(s.line) {
		c := s.line[s.pos]
		s.pos++
		switch {
		case c == '"':
			return nil
		case c == '\\' && s.pos < len(s.line) && strings.IndexByte("$`\"\\\n", s.line[s.pos]) >= 0:
			s.escaped()
		default:
			s.text.WriteByte(c)
		}
	}
	return errors.New(`a double quote is not closed; close it, or write \" for the character itself`)
}

func (s *wordSplitter) escape() error {
	if s.pos == len(s.line) {
		return errors.New(`the line ends with a backslash; write \\ for the character itself`)
	}
	if s.line[s.pos] != '\n' {
		s.begin()
	}
	s.escaped()
	return nil
}

// escaped takes the character after a backslash; a newline is left out, which continues the line.
func (s *wordSplitter) escaped() {
	if c := s.line[s.pos]; c != '\n' {
		s.text.WriteByte(c)
	}
	s.pos++
}
