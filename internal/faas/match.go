package faas

// Match is what Table.Match found.
type Match struct {
	Trigger *Trigger
	Fields  [][2]string // names and values out of the path, decoded, in order; the wildcard's under WildcardField
}
