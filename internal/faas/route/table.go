package route

import (
	"fmt"
	"hash/maphash"
	"net/http"
	"strings"

	"davit/internal/faas"
)

// Table finds the trigger for a method and a path. It is immutable: With returns a changed one that shares what did not
// change, at a cost that does not grow with the number of triggers. Neither does that of Match.
//
// Of the patterns that match a path and take the method, the one wins that has, from left to right, a literal where
// others have a name, and a name where others have a wildcard.
type Table struct {
	seed  maphash.Seed
	root  pathNode
	names hashTrie[*faas.Trigger] // by name
}

// NewTable returns a table of these triggers; see With.
func NewTable(triggers []*faas.Trigger) (*Table, error) {
	empty := &Table{seed: maphash.MakeSeed()}
	return empty.With(triggers, nil)
}

// With returns a table without the triggers named in remove and with those in set, which replace others of their names;
// of two in set that have one name, the later counts. It keeps set's pointers: the triggers must not change any more.
//
// Two triggers that match the same paths and share a method are a Conflict, a path that is no pattern is NotAllowed; t
// stays as it is. Methods other than GET, POST and PUT are not served.
func (t *Table) With(set []*faas.Trigger, remove []faas.TriggerName) (*Table, error) {
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

func (t *Table) hash(s string) uint64 { return maphash.String(t.seed, s) }

func (t *Table) remove(name faas.TriggerName) {
	key := string(name)
	there := t.names.find(t.hash(key), key)
	if there == nil {
		return
	}
	if pattern, err := NewPattern((*there).Path); err == nil { // as it was when it was added
		t.root = t.without(t.root, *there, pattern.segments)
	}
	t.names = t.names.without(t.hash(key), key)
}

func (t *Table) add(trigger *faas.Trigger) error {
	pattern, err := NewPattern(trigger.Path)
	if err != nil {
		return &faas.Error{
			Kind: faas.NotAllowed, Detail: fmt.Sprintf("trigger %q: %v", trigger.Name, err),
			Fields: []faas.FieldError{{Pointer: "/path", Detail: err.Error()}},
		}
	}
	t.remove(trigger.Name)
	root, clash := t.with(t.root, trigger, pattern.segments)
	if clash != nil {
		return clashOf(trigger, clash)
	}
	t.root = root
	t.names = t.names.with(t.hash(string(trigger.Name)), string(trigger.Name), trigger)
	return nil
}

func clashOf(t, with *faas.Trigger) error {
	detail := fmt.Sprintf("%s %s matches the same paths as trigger %q (%s %s): choose another path or method, or delete that trigger",
		strings.Join(t.Methods, ", "), faas.Clip(t.Path), with.Name, strings.Join(with.Methods, ", "), faas.Clip(with.Path))
	return &faas.Error{Kind: faas.Conflict, Detail: detail, Fields: []faas.FieldError{{Pointer: "/path", Detail: detail}}}
}

// pathNode is one segment of the patterns that begin alike.
type pathNode struct {
	literals hashTrie[pathNode]
	named    *pathNode
	ends     byMethod // that end here
	rest     byMethod // that end here with a wildcard
}

func (n *pathNode) empty() bool {
	return n.literals.root == nil && n.named == nil && n.ends == byMethod{} && n.rest == byMethod{}
}

// byMethod holds a trigger for each of tableMethods.
type byMethod [3]*faas.Trigger

// methodIndex returns where in byMethod the triggers of a method are, -1 for others.
func methodIndex(method string) int {
	switch method {
	case http.MethodGet, http.MethodHead:
		return 0
	case http.MethodPost:
		return 1
	case http.MethodPut:
		return 2
	}
	return -1
}

// with adds t, or returns a trigger that it clashes with.
func (b byMethod) with(t *faas.Trigger) (with byMethod, clash *faas.Trigger) {
	for _, method := range t.Methods {
		i := methodIndex(method)
		switch {
		case i < 0 || method == http.MethodHead:
		case b[i] != nil && b[i] != t:
			return b, b[i]
		default:
			b[i] = t
		}
	}
	return b, nil
}

func (b byMethod) without(t *faas.Trigger) byMethod {
	for i := range b {
		if b[i] == t {
			b[i] = nil
		}
	}
	return b
}

// with returns n with the trigger below it, or a trigger that it clashes with.
func (t *Table) with(n pathNode, trigger *faas.Trigger, below []segment) (changed pathNode, clash *faas.Trigger) {
	if len(below) == 0 {
		n.ends, clash = n.ends.with(trigger)
		return n, clash
	}
	switch s := below[0]; s.kind {
	case wildcardSegment:
		n.rest, clash = n.rest.with(trigger)
	case namedSegment:
		var child pathNode
		child, clash = t.with(valueOf(n.named), trigger, below[1:])
		n.named = &child
	case literalSegment:
		var child pathNode
		hash := t.hash(s.text)
		child, clash = t.with(valueOf(n.literals.find(hash, s.text)), trigger, below[1:])
		n.literals = n.literals.with(hash, s.text, child)
	}
	return n, clash
}

// valueOf returns *n, or an empty node.
func valueOf(n *pathNode) pathNode {
	if n == nil {
		return pathNode{}
	}
	return *n
}

// without returns n without the trigger, which is below it.
func (t *Table) without(n pathNode, trigger *faas.Trigger, below []segment) pathNode {
	if len(below) == 0 {
		n.ends = n.ends.without(trigger)
		return n
	}
	switch s := below[0]; s.kind {
	case wildcardSegment:
		n.rest = n.rest.without(trigger)
	case namedSegment:
		child := t.without(valueOf(n.named), trigger, below[1:])
		if n.named = &child; child.empty() {
			n.named = nil
		}
	case literalSegment:
		hash := t.hash(s.text)
		child := t.without(valueOf(n.literals.find(hash, s.text)), trigger, below[1:])
		if child.empty() {
			n.literals = n.literals.without(hash, s.text)
		} else {
			n.literals = n.literals.with(hash, s.text, child)
		}
	}
	return n
}
