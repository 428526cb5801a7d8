package route

import (
	"fmt"
	"net/url"
	"strings"

	"davit/internal/faas"
)

// Canonical returns the pattern without its names: two patterns that overlap, and no others, have the same. It holds no
// blanks and no control characters.
func (p Pattern) Canonical() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		switch s.kind {
		case literalSegment:
			b.WriteString(strings.ReplaceAll(url.PathEscape(s.text), ":", "%3A"))
		case namedSegment:
			b.WriteByte(':')
		case wildcardSegment:
			b.WriteByte('*')
		}
	}
	return b.String()
}

// Endpoints returns what t takes calls of, each a method, a space and the canonical form of its path. Two triggers of
// one table never share one.
func Endpoints(t *faas.Trigger) ([]string, error) {
	p, err := NewPattern(t.Path)
	if err != nil {
		return nil, fmt.Errorf("path of trigger %q: %w", t.Name, err)
	}
	endpoints := make([]string, len(t.Methods))
	for i, m := range t.Methods {
		endpoints[i] = m + " " + p.Canonical()
	}
	return endpoints, nil
}
