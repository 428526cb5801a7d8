package route

import (
	"reflect"
	"strings"
	"testing"
)

func TestNewPattern(t *testing.T) {
	cases := []struct {
		path  string
		want  []segment
		names []string
	}{
		{"/", []segment{{literalSegment, ""}}, nil},
		{"/a", []segment{{literalSegment, "a"}}, nil},
		{"/a/", []segment{{literalSegment, "a"}, {literalSegment, ""}}, nil},
		{"//", []segment{{literalSegment, ""}, {literalSegment, ""}}, nil},
		{"/*", []segment{{kind: wildcardSegment}}, []string{"*"}},
		{"/users/:id/files/*", []segment{{literalSegment, "users"}, {namedSegment, "id"}, {literalSegment, "files"}, {kind: wildcardSegment}}, []string{"id", "*"}},
		{"/:a/:A_1-b", []segment{{namedSegment, "a"}, {namedSegment, "A_1-b"}}, []string{"a", "A_1-b"}},
		{"/caf%C3%A9/%3Ax/%2A/a%2Fb/x%2fy", []segment{{literalSegment, "café"}, {literalSegment, ":x"}, {literalSegment, "*"}, {literalSegment, "a/b"}, {literalSegment, "x/y"}}, nil},
		{"/items:batch/a b/a+b/~x/-", []segment{{literalSegment, "items:batch"}, {literalSegment, "a b"}, {literalSegment, "a+b"}, {literalSegment, "~x"}, {literalSegment, "-"}}, nil},
		{"/-a/...", []segment{{literalSegment, "-a"}, {literalSegment, "..."}}, nil},
	}
	for _, c := range cases {
		p, err := NewPattern(c.path)
		if err != nil || !reflect.DeepEqual(p.segments, c.want) || !reflect.DeepEqual(p.Names(), c.names) || p.String() != c.path {
			t.Errorf("NewPattern(%q) = %v with names %q, %v; want %v", c.path, p.segments, p.Names(), err, c.want)
		}
	}
}

func TestNewPatternRefuses(t *testing.T) {
	cases := map[string]string{
		"":                            "missing",
		"a":                           "does not begin with a slash",
		"*":                           "does not begin with a slash",
		"http://x/a":                  "does not begin with a slash",
		"/-":                          "Davit's own",
		"/-/invocations":              "Davit's own",
		"/%2D/x":                      "Davit's own",
		"/a?b=c":                      "query",
		"/a#b":                        "fragment",
		"/a/../b":                     `".." segment`,
		"/a/./b":                      `"." segment`,
		"/%2e%2E":                     `".." segment`,
		"/%2e":                        `"." segment`,
		"/a%":                         "broken percent escape",
		"/a%2":                        "broken percent escape",
		"/%zz":                        "broken percent escape",
		"/a%00":                       "NUL",
		"/a\x00":                      "NUL",
		"/a%0Ab":                      "control character",
		"/a\tb":                       "control character",
		"/%ff":                        "no UTF-8",
		"/\xff":                       "no UTF-8",
		"/*/a":                        "last segment only",
		"/a*":                         "whole last segment",
		"/**":                         "whole last segment",
		"/:":                          "names no part",
		"/:a.png":                     "names no part",
		"/:a/b/:a":                    "twice",
		"/::a":                        "names no part",
		"/:%61":                       "names no part",
		strings.Repeat("/aaaaa", 200): "at most 1024",
		strings.Repeat("/a", 65):      "at most 64",
	}
	for path, want := range cases {
		if p, err := NewPattern(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewPattern(%q) = %v, %v; want an error with %q", path, p.segments, err, want)
		}
	}
}

func TestOverlaps(t *testing.T) {
	cases := []struct {
		p, q string
		want bool
	}{
		{"/a", "/a", true},
		{"/a", "/%61", true},
		{"/a", "/A", false},
		{"/a", "/a/", false},
		{"/:x", "/:y", true},
		{"/a/:x/b/*", "/a/:y/b/*", true},
		{"/a/:x", "/a/b", false},
		{"/a/:x", "/:x/a", false},
		{"/a/:x", "/a/*", false},
		{"/*", "/:x", false},
		{"/%2A", "/*", false},
		{"/%3Ax", "/:x", false},
		{"/a/b", "/a%2Fb", false},
		{"/", "/", true},
		{"/", "//", false},
	}
	for _, c := range cases {
		p, err := NewPattern(c.p)
		q, err2 := NewPattern(c.q)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if p.Overlaps(q) != c.want || q.Overlaps(p) != c.want {
			t.Errorf("%s overlaps %s: %v, and the other way round %v; want %v", c.p, c.q, p.Overlaps(q), q.Overlaps(p), c.want)
		}
	}
}
