package spec

import (
	"fmt"
	"strings"

	"davit/internal/faas"
)

// PlaceholderKind says what a placeholder stands for.
type PlaceholderKind string

// The kinds of placeholders. PlaceholderField and PlaceholderFile have a name and stand for one argument per value of
// it; PlaceholderFields and PlaceholderFiles for one argument per value of all of them, which may be none;
// PlaceholderBody for the file that holds the body.
const (
	PlaceholderField  PlaceholderKind = "field"
	PlaceholderFile   PlaceholderKind = "file"
	PlaceholderFields PlaceholderKind = "fields"
	PlaceholderFiles  PlaceholderKind = "files"
	PlaceholderBody   PlaceholderKind = "body"
)

// Placeholder is an argument that each call fills in.
type Placeholder struct {
	Kind PlaceholderKind
	Name string // of the field; with PlaceholderField and PlaceholderFile only
}

// String returns the placeholder as it is written in a command.
func (p Placeholder) String() string {
	if p.Name != "" {
		return "{" + string(p.Kind) + ":" + p.Name + "}"
	}
	return "{" + string(p.Kind) + "}"
}

// ParsePlaceholder tells whether arg is a placeholder, and which. A placeholder inside a longer argument is an error
// that says so; braces that are no placeholder are literal.
func ParsePlaceholder(arg string) (p Placeholder, is bool, err error) {
	for from := 0; ; {
		open := strings.IndexByte(arg[from:], '{')
		if open < 0 {
			return Placeholder{}, false, nil
		}
		open += from
		p, size := leadingPlaceholder(arg[open:])
		switch {
		case size == 0:
			from = open + 1
		case size == len(arg):
			return p, true, nil
		default:
			return Placeholder{}, false, fmt.Errorf("%s is inside a longer argument; a placeholder must be a whole argument", faas.Clip(p.String()))
		}
	}
}

// leadingPlaceholder reads the placeholder that s, which begins with a brace, begins with. Size is its length, 0 when
// there is none.
func leadingPlaceholder(s string) (p Placeholder, size int) {
	inner, _, closed := strings.Cut(s[1:], "}")
	if !closed || strings.IndexByte(inner, '{') >= 0 {
		return Placeholder{}, 0
	}
	size = len(inner) + len("{}")
	kind, name, named := strings.Cut(inner, ":")
	switch p = (Placeholder{Kind: PlaceholderKind(kind), Name: name}); p.Kind {
	case PlaceholderField, PlaceholderFile:
		if name != "" {
			return p, size
		}
	case PlaceholderFields, PlaceholderFiles, PlaceholderBody:
		if !named {
			return p, size
		}
	}
	return Placeholder{}, 0
}
