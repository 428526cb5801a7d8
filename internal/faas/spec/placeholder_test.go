package spec

import (
	"strings"
	"testing"
)

func TestParsePlaceholder(t *testing.T) {
	is := map[string]Placeholder{
		"{field:size}":  {PlaceholderField, "size"},
		"{field:a b:c}": {PlaceholderField, "a b:c"},
		"{field:*}":     {PlaceholderField, "*"},
		"{file:image}":  {PlaceholderFile, "image"},
		"{file:größe}":  {PlaceholderFile, "größe"},
		"{fields}":      {Kind: PlaceholderFields},
		"{files}":       {Kind: PlaceholderFiles},
		"{body}":        {Kind: PlaceholderBody},
	}
	for arg, want := range is {
		if got, is, err := ParsePlaceholder(arg); got != want || !is || err != nil {
			t.Errorf("ParsePlaceholder(%q) = %v, %v, %v; want %v", arg, got, is, err, want)
		}
		if want.String() != arg {
			t.Errorf("%#v is written %q, want %q", want, want.String(), arg)
		}
	}
	literal := []string{
		"", "a", "{", "}", "{}", "{{}}", "{field}", "{field:}", "{file:}", "{file}", "{Field:a}", "{fields:a}", "{files:}", "{body:x}", "{ body }",
		"{print $1}", "{a,b}", "{field:a", "field:a}", "{field:{a}", "{field:{}}", "${HOME}", "{bodyx}", "{}{}",
	}
	for _, arg := range literal {
		if got, is, err := ParsePlaceholder(arg); got != (Placeholder{}) || is || err != nil {
			t.Errorf("ParsePlaceholder(%q) = %v, %v, %v; want a literal", arg, got, is, err)
		}
	}
	inside := []string{"--size={field:size}", "{body}x", "x{body}", "{field:a}{field:b}", "{{body}}", "{{field:a}", "'{files}'", "a {fields} b", "{ {body}", "{field:a}\n"}
	for _, arg := range inside {
		if got, is, err := ParsePlaceholder(arg); err == nil || is || !strings.Contains(err.Error(), "whole argument") {
			t.Errorf("ParsePlaceholder(%q) = %v, %v, %v; want an error", arg, got, is, err)
		}
	}
}

func FuzzPlaceholder(f *testing.F) {
	for _, s := range []string{"{field:a}", "{body}", "{files}x", "{{body}}", "{field:}", "{", "", "{field:\x00}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		p, is, err := ParsePlaceholder(arg)
		switch {
		case is && (err != nil || p.String() != arg):
			t.Errorf("ParsePlaceholder(%q) = %v, %v", arg, p, err)
		case !is && p != (Placeholder{}):
			t.Errorf("ParsePlaceholder(%q) is none and gives %v", arg, p)
		case is:
			// Whatever stands around a placeholder makes it an error.
			for _, longer := range []string{"x" + arg, arg + "x", arg + arg} {
				if _, is, err := ParsePlaceholder(longer); is || err == nil {
					t.Errorf("ParsePlaceholder(%q) = %v, %v; want an error", longer, is, err)
				}
			}
		case err == nil && len(arg) < 100 && holdsPlaceholder(arg):
			t.Errorf("ParsePlaceholder(%q) overlooks a placeholder", arg)
		}
	})
}

// holdsPlaceholder looks at every part of arg.
func holdsPlaceholder(arg string) bool {
	for i := range arg {
		for j := i + 1; j <= len(arg); j++ {
			if _, is, err := ParsePlaceholder(arg[i:j]); is && err == nil {
				return true
			}
		}
	}
	return false
}
