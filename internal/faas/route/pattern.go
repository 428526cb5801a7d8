package route

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"davit/internal/faas"
)

// WildcardField is the name of the field that holds what a pattern's last /* matched.
const WildcardField = "*"

// reservedSegment is the first segment of the paths that are Davit's own.
const reservedSegment = "-"

const (
	// MaxPathBytes is how many bytes the path of a trigger may have.
	MaxPathBytes    = 1024
	maxPathSegments = 64
)

// segmentKind says what one segment of a pattern matches.
type segmentKind byte

const (
	literalSegment  segmentKind = iota // itself
	namedSegment                       // any one segment that is not empty
	wildcardSegment                    // all segments from here on, at least one, which may be empty
)

// segment is one part of a pattern between slashes.
type segment struct {
	kind segmentKind
	text string // literal: decoded; named: the name
}

// Pattern is the path of a trigger: literal segments, ":name" for any one segment that is not empty, and a last "*" for
// the rest, which may be empty.
//
// A pattern and a path are split at slashes first and percent-decoded then, so that an encoded slash is part of its
// segment, and %3A and %2A are a literal colon and star. Empty segments count: "/a" and "/a/" are different paths,
// "/a/:x" matches neither, and "/a/*" matches "/a/" but not "/a".
type Pattern struct {
	path     string
	segments []segment
}

// NewPattern reads a trigger's path. The error is what is wrong with it and how to mend it.
func NewPattern(path string) (Pattern, error) {
	if err := checkPathText(path); err != nil {
		return Pattern{}, err
	}
	parts := strings.Split(path[1:], "/")
	if len(parts) > maxPathSegments {
		return Pattern{}, fmt.Errorf("the path has %d segments; at most %d are allowed", len(parts), maxPathSegments)
	}
	p := Pattern{path: path, segments: make([]segment, 0, len(parts))}
	for i, part := range parts {
		s, err := parseSegment(part, i == len(parts)-1)
		if err != nil {
			return Pattern{}, err
		}
		if s.kind == namedSegment && p.hasName(s.text) {
			return Pattern{}, fmt.Errorf("the path names :%s twice; give each part a name of its own", s.text)
		}
		p.segments = append(p.segments, s)
	}
	if first := p.segments[0]; first.kind == literalSegment && first.text == reservedSegment {
		return Pattern{}, fmt.Errorf("paths below /-/ are Davit's own; choose another first segment")
	}
	return p, nil
}

func checkPathText(path string) error {
	switch {
	case path == "":
		return fmt.Errorf("the path is missing; write one such as /thumbnail or /users/:id")
	case path[0] != '/':
		return fmt.Errorf("the path %q does not begin with a slash", faas.Clip(path))
	case len(path) > MaxPathBytes:
		return fmt.Errorf("the path has %d bytes; at most %d are allowed", len(path), MaxPathBytes)
	case strings.ContainsAny(path, "?#"):
		return fmt.Errorf("the path %q holds a query or a fragment; leave out what begins with ? or #", faas.Clip(path))
	}
	return nil
}

func parseSegment(part string, last bool) (segment, error) {
	switch {
	case part == "*" && last:
		return segment{kind: wildcardSegment}, nil
	case part == "*":
		return segment{}, fmt.Errorf("* is allowed as the last segment only; use :name for one segment")
	case strings.HasPrefix(part, ":"):
		if !IsPathName(part[1:]) {
			return segment{}, fmt.Errorf("%q names no part of the path; a name takes the whole segment and consists of letters, digits, _ and -", faas.Clip(part))
		}
		return segment{kind: namedSegment, text: part[1:]}, nil
	case strings.Contains(part, "*"):
		return segment{}, fmt.Errorf("%q holds a star inside a segment; * must be the whole last segment (write %%2A for the character itself)", faas.Clip(part))
	}
	text, err := decodeSegment(part)
	if err != nil {
		return segment{}, err
	}
	if strings.IndexFunc(text, IsControl) >= 0 {
		return segment{}, fmt.Errorf("the segment %q holds a control character", faas.Clip(part))
	}
	return segment{kind: literalSegment, text: text}, nil
}

// IsControl reports whether r is an ASCII control character.
func IsControl(r rune) bool { return r < ' ' || r == 0x7f }

// IsPathName reports whether s may be the name of a path parameter: letters, digits, _ and -.
func IsPathName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// decodeSegment decodes one segment of a path and refuses what no path may hold.
func decodeSegment(raw string) (string, error) {
	text := raw
	if strings.IndexByte(raw, '%') >= 0 {
		var err error
		if text, err = url.PathUnescape(raw); err != nil {
			return "", fmt.Errorf("the path segment %q holds a broken percent escape", faas.Clip(raw))
		}
	}
	switch {
	case text == "." || text == "..":
		return "", fmt.Errorf("the path holds a %q segment", text)
	case strings.IndexByte(text, 0) >= 0:
		return "", fmt.Errorf("the path holds a NUL character")
	case !utf8.ValidString(text):
		return "", fmt.Errorf("the path segment %q is no UTF-8", faas.Clip(raw))
	}
	return text, nil
}

func (p Pattern) hasName(name string) bool {
	for _, s := range p.segments {
		if s.kind == namedSegment && s.text == name {
			return true
		}
	}
	return false
}
