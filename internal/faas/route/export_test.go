package route

// String returns the path that the pattern was made of.
func (p Pattern) String() string { return p.path }

// Names returns the names of the fields that the pattern gives, in order.
func (p Pattern) Names() []string {
	var names []string
	for _, s := range p.segments {
		switch s.kind {
		case literalSegment:
		case namedSegment:
			names = append(names, s.text)
		case wildcardSegment:
			names = append(names, WildcardField)
		}
	}
	return names
}

// Overlaps reports whether p and q match the same paths, which they do when they differ in nothing but names. Patterns
// that share only some paths do not overlap: there, literal beats name beats wildcard, from left to right.
func (p Pattern) Overlaps(q Pattern) bool {
	if len(p.segments) != len(q.segments) {
		return false
	}
	for i, s := range p.segments {
		o := q.segments[i]
		if s.kind != o.kind || s.kind == literalSegment && s.text != o.text {
			return false
		}
	}
	return true
}
