package faas

import (
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
)

// Table finds the trigger for a method and a path. It is immutable: With
// returns a changed one that shares what did not change, at a cost that does not
// grow with the number of triggers. Neither does that of Match.
//
// Of the patterns that match a path and take the method, the one wins that has,
// from left to right, a literal where others have a name, and a name where
// others have a wildcard.
type Table struct {
	seed  maphash.Seed
	root  *pathNode
	names hashTrie[*route] // by the trigger's name
}

// route is a trigger with its path read.
type route struct {
	trigger *Trigger
	pattern Pattern
}

// pathNode is one segment of the patterns that begin alike.
type pathNode struct {
	literals hashTrie[*pathNode]
	named    *pathNode
	rest     []*route // that end here with a wildcard
	ends     []*route // that end here
}

// Match is what Table.Match found.
type Match struct {
	Trigger *Trigger
	Fields  [][2]string // names and values out of the path, decoded, in order; the wildcard's under WildcardField
}

// NewTable returns a table of these triggers; see With.
func NewTable(triggers []*Trigger) (*Table, error) {
	empty := &Table{seed: maphash.MakeSeed()}
	return empty.With(triggers, nil)
}

// With returns a table without the triggers named in remove and with those in
// set, which replace others of their names. It keeps set's pointers: the triggers
// must not change any more. Two triggers that match the same paths and share a
// method are a Conflict; a path that is no pattern is NotAllowed; t stays as it is.
func (t *Table) With(set []*Trigger, remove []TriggerName) (*Table, error) {
	changed := *t
	for _, name := range remove {
		changed.remove(name)
	}
	for _, trigger := range set {
		changed.remove(trigger.Name)
	}
	for _, trigger := range set {
		if err := changed.add(trigger); err != nil {
			return nil, err
		}
	}
	return &changed, nil
}

func (t *Table) hash(s string) uint64 { return hashString(t.seed, s) }

func (t *Table) remove(name TriggerName) {
	r, ok := t.names.find(t.hash(string(name)), string(name))
	if !ok {
		return
	}
	t.names = t.names.without(t.hash(string(name)), string(name))
	t.root = t.removed(t.root, r, r.pattern.segments)
}

func (t *Table) add(trigger *Trigger) error {
	pattern, err := NewPattern(trigger.Path)
	if err != nil {
		return &Error{
			Kind: NotAllowed, Detail: fmt.Sprintf("trigger %q: %v", trigger.Name, err),
			Fields: []FieldError{{Pointer: "/path", Detail: err.Error()}},
		}
	}
	t.remove(trigger.Name)
	r := &route{trigger: trigger, pattern: pattern}
	root, clash := t.added(t.root, r, pattern.segments)
	if clash != nil {
		return clashOf(r, clash)
	}
	t.root = root
	t.names = t.names.with(t.hash(string(trigger.Name)), string(trigger.Name), r, t.hash)
	return nil
}

func clashOf(r, with *route) error {
	detail := fmt.Sprintf("%s %s matches the same paths as trigger %q (%s %s): choose another path or method, or delete that trigger",
		strings.Join(r.trigger.Methods, ", "), r.pattern, with.trigger.Name, strings.Join(with.trigger.Methods, ", "), with.pattern)
	return &Error{Kind: Conflict, Detail: detail, Fields: []FieldError{{Pointer: "/path", Detail: detail}}}
}

// added returns a copy of n with r below it, or the route that r clashes with.
func (t *Table) added(n *pathNode, r *route, below []segment) (changed *pathNode, clash *route) {
	c := pathNode{}
	if n != nil {
		c = *n
	}
	if len(below) == 0 {
		c.ends, clash = withRoute(c.ends, r)
		return &c, clash
	}
	switch s := below[0]; s.kind {
	case wildcardSegment:
		c.rest, clash = withRoute(c.rest, r)
	case namedSegment:
		c.named, clash = t.added(c.named, r, below[1:])
	case literalSegment:
		hash := t.hash(s.text)
		child, _ := c.literals.find(hash, s.text)
		if child, clash = t.added(child, r, below[1:]); clash == nil {
			c.literals = c.literals.with(hash, s.text, child, t.hash)
		}
	}
	return &c, clash
}

func withRoute(routes []*route, r *route) (with []*route, clash *route) {
	for _, other := range routes {
		for _, method := range other.trigger.Methods {
			if slices.Contains(r.trigger.Methods, method) {
				return nil, other
			}
		}
	}
	return append(slices.Clone(routes), r), nil
}

// removed returns a copy of n without r below it, nil when nothing is left.
func (t *Table) removed(n *pathNode, r *route, below []segment) *pathNode {
	c := *n
	if len(below) == 0 {
		c.ends = withoutRoute(c.ends, r)
		return c.orNil()
	}
	switch s := below[0]; s.kind {
	case wildcardSegment:
		c.rest = withoutRoute(c.rest, r)
	case namedSegment:
		c.named = t.removed(c.named, r, below[1:])
	case literalSegment:
		hash := t.hash(s.text)
		child, _ := c.literals.find(hash, s.text)
		if child = t.removed(child, r, below[1:]); child != nil {
			c.literals = c.literals.with(hash, s.text, child, t.hash)
		} else {
			c.literals = c.literals.without(hash, s.text)
		}
	}
	return c.orNil()
}

func withoutRoute(routes []*route, r *route) []*route {
	return slices.DeleteFunc(slices.Clone(routes), func(o *route) bool { return o == r })
}

func (n *pathNode) orNil() *pathNode {
	if len(n.ends) == 0 && len(n.rest) == 0 && n.named == nil && n.literals.root == nil {
		return nil
	}
	return n
}

// Match finds the trigger for a request. rawPath is the path as it was sent,
// still encoded, without the query. HEAD finds what GET finds. A path that no
// path may be is Invalid, one that no pattern matches NotFound; MethodNotAllowed
// tells in Allow, sorted, which methods there are, so that OPTIONS can be answered
// from it.
func (t *Table) Match(method, rawPath string) (Match, error) {
	var room [16]string
	path, err := splitPath(room[:0], rawPath)
	if err != nil {
		return Match{}, &Error{Kind: Invalid, Detail: err.Error()}
	}
	if path[0] == reservedSegment {
		return Match{}, notFound(rawPath)
	}
	s := pathSearch{table: t, method: method}
	if method == http.MethodHead {
		s.method = http.MethodGet
	}
	if s.walk(t.root, path) {
		return Match{Trigger: s.found.trigger, Fields: s.found.pattern.fields(path)}, nil
	}
	if len(s.others) == 0 {
		return Match{}, notFound(rawPath)
	}
	return Match{}, methodNotAllowed(method, rawPath, s.others)
}

func notFound(rawPath string) error {
	return Errorf(NotFound, "no trigger has a path that matches %q", clip(rawPath))
}

func methodNotAllowed(method, rawPath string, others []*route) error {
	allow := []string{http.MethodOptions}
	for _, r := range others {
		allow = append(allow, r.trigger.Methods...)
		if slices.Contains(r.trigger.Methods, http.MethodGet) {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	allow = slices.Compact(allow)
	return &Error{
		Kind: MethodNotAllowed, Allow: allow,
		Detail: fmt.Sprintf("%q takes no %s; its methods are %s", clip(rawPath), clip(method), strings.Join(allow, ", ")),
	}
}

// splitPath appends the decoded segments of a raw path to path.
func splitPath(path []string, raw string) ([]string, error) {
	if raw == "" || raw[0] != '/' {
		return nil, fmt.Errorf("the path %q does not begin with a slash", clip(raw))
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

// pathSearch is the state of one Match.
type pathSearch struct {
	table  *Table
	method string
	found  *route
	others []*route // that match the path and do not take the method
}

// walk looks for the best route below n for the rest of the path.
func (s *pathSearch) walk(n *pathNode, path []string) bool {
	if n == nil {
		return false
	}
	if len(path) == 0 {
		return s.choose(n.ends)
	}
	if n.literals.root != nil {
		if child, ok := n.literals.find(s.table.hash(path[0]), path[0]); ok && s.walk(child, path[1:]) {
			return true
		}
	}
	if path[0] != "" && s.walk(n.named, path[1:]) {
		return true
	}
	return s.choose(n.rest)
}

func (s *pathSearch) choose(routes []*route) bool {
	for _, r := range routes {
		if slices.Contains(r.trigger.Methods, s.method) {
			s.found = r
			return true
		}
	}
	s.others = append(s.others, routes...)
	return false
}
