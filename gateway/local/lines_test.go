package local

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestLinesAreLoggedOneByOne(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for name, c := range map[string]struct {
		writes []string
		want   []string
	}{
		"whole":                      {[]string{"a\nb\n"}, []string{"a", "b"}},
		"in pieces":                  {[]string{"a", "b", "c\nd"}, []string{"abc", "d"}},
		"blank":                      {[]string{"\n \r\n\na\r\n"}, []string{"a"}},
		"without end":                {[]string{long, long, "y"}, []string{long, long, "y"}},
		"as long as it":              {[]string{long + "\nz\n"}, []string{long, "z"}},
		"two bytes at the border":    {[]string{long[1:], "öy\n"}, []string{long[1:], "öy"}},
		"four bytes at the border":   {[]string{long[3:] + "\xf0\x9f\x98", "\x80y\n"}, []string{long[3:], "😀y"}},
		"ends at the border":         {[]string{long[4:] + "😀y\n"}, []string{long[4:] + "😀", "y"}},
		"no character at the border": {[]string{long[2:] + "\xf0\xf0yy\n"}, []string{long[2:] + "\uFFFD", "\uFFFDyy"}},
		"no text":                    {[]string{"a\xffb\n"}, []string{"a\uFFFDb"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var out bytes.Buffer
			w := newLines(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == "line" {
						got = append(got, a.Value.String())
					}
					return a
				},
			})))
			for _, s := range c.writes {
				if n, err := fmt.Fprint(w, s); n != len(s) || err != nil {
					t.Fatalf("wrote %d of %d, %v", n, len(s), err)
				}
			}
			w.flush()
			if !slices.Equal(got, c.want) {
				t.Fatalf("lines %.60q, want %.60q", got, c.want)
			}
			if last := c.want[len(c.want)-1]; w.last() != last[:min(len(last), maxTail)] {
				t.Fatalf("last %q", w.last())
			}
		})
	}
	var none *lines
	if none.last() != "" {
		t.Fatal("no lines have a last one")
	}
}

func TestTheLastLineEndsWithACharacter(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"short":             {"aö", "aö"},
		"as long as it":     {strings.Repeat("x", maxTail-2) + "ö", strings.Repeat("x", maxTail-2) + "ö"},
		"cut":               {strings.Repeat("x", maxTail+1), strings.Repeat("x", maxTail) + "…"},
		"cut before a half": {strings.Repeat("x", maxTail-1) + "öy", strings.Repeat("x", maxTail-1) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLines(slog.New(slog.DiscardHandler))
			if _, err := fmt.Fprintln(w, c.line); err != nil {
				t.Fatal(err)
			}
			if got := w.last(); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}
