package route

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"davit/internal/faas"
)

// Match finds the trigger for a request. rawPath is the path as it was sent, still encoded, without the query. HEAD
// finds what GET finds. A path that no path may be is Invalid, one that no pattern matches NotFound; MethodNotAllowed
// tells in Allow, sorted, which methods there are, so that OPTIONS can be answered from it.
func (t *Table) Match(method, rawPath string) (faas.Match, error) {
	var room [16]string
	path, err := splitPath(room[:0], rawPath)
	if err != nil {
		return faas.Match{}, &faas.Error{Kind: faas.Invalid, Detail: err.Error()}
	}
	if path[0] == reservedSegment {
		return faas.Match{}, notFound(rawPath)
	}
	s := pathSearch{table: t, method: methodIndex(method)}
	if found := s.walk(&t.root, path, false); found != nil {
		m := faas.Match{Trigger: found}
		if s.named {
			m.Fields = pathFields(found.Path, path)
		}
		return m, nil
	}
	if s.others == [3]bool{} {
		return faas.Match{}, notFound(rawPath)
	}
	return faas.Match{}, methodNotAllowed(method, rawPath, s.others)
}

func notFound(rawPath string) error {
	return faas.Errorf(faas.NotFound, "no trigger has a path that matches %q", faas.Clip(rawPath))
}

func methodNotAllowed(method, rawPath string, there [3]bool) error {
	allow := []string{http.MethodOptions}
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
		if there[methodIndex(m)] {
			allow = append(allow, m)
		}
	}
	slices.Sort(allow)
	return &faas.Error{
		Kind: faas.MethodNotAllowed, Allow: allow,
		Detail: fmt.Sprintf("%q takes no %s; its methods are %s", faas.Clip(rawPath), faas.Clip(method), strings.Join(allow, ", ")),
	}
}

// splitPath appends the decoded segments of a raw path to path.
func splitPath(path []string, raw string) ([]string, error) {
	if raw == "" || raw[0] != '/' {
		return nil, fmt.Errorf("the path %q does not begin with a slash", faas.Clip(raw))
	}
	for rest, more := raw[1:], true; more; {
		var part string
		part, rest, more = strings.Cut(rest, "/")
		text, err := decodeSegment(part)
		if err != nil {
			return nil, err
		}
		path = append(path, text)
	}
	return path, nil
}

// pathFields returns the names and values that a pattern takes from a path that it matches.
func pathFields(pattern string, path []string) [][2]string {
	fields := make([][2]string, 0, 4)
	rest := pattern[1:]
	for i := range path {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch {
		case part == "*":
			return append(fields, [2]string{WildcardField, strings.Join(path[i:], "/")})
		case strings.HasPrefix(part, ":"):
			fields = append(fields, [2]string{part[1:], path[i]})
		}
	}
	return fields
}

// pathSearch is the state of one Match.
type pathSearch struct {
	table  *Table
	method int     // index in byMethod
	named  bool    // the found pattern holds names or a wildcard
	others [3]bool // methods of patterns that match the path
}

// walk looks for the best trigger below n for the rest of the path. named tells whether a name was passed on the way.
func (s *pathSearch) walk(n *pathNode, path []string, named bool) *faas.Trigger {
	if len(path) == 0 {
		return s.choose(&n.ends, named)
	}
	if n.literals.root != nil {
		if child := n.literals.find(s.table.hash(path[0]), path[0]); child != nil {
			if found := s.walk(child, path[1:], named); found != nil {
				return found
			}
		}
	}
	if n.named != nil && path[0] != "" {
		if found := s.walk(n.named, path[1:], true); found != nil {
			return found
		}
	}
	return s.choose(&n.rest, true)
}

func (s *pathSearch) choose(triggers *byMethod, named bool) *faas.Trigger {
	if s.method >= 0 && triggers[s.method] != nil {
		s.named = named
		return triggers[s.method]
	}
	for i, t := range triggers {
		s.others[i] = s.others[i] || t != nil
	}
	return nil
}
