package rooms

import (
	"maps"
	"slices"
)

// uses holds, by file and by file that declares it, the names that the first uses of the second. Each file has an
// entry.
type uses map[string]map[string]names

type names map[string]bool

func (u uses) add(from, to, name string) {
	if u[from][to] == nil {
		u[from][to] = names{}
	}
	u[from][to][name] = true
}

// inside returns the references from a file of group to another one.
func (u uses) inside(group []string) []Reference {
	var references []Reference
	for _, from := range group {
		for _, to := range group {
			if used := u[from][to]; len(used) > 0 {
				references = append(references, Reference{From: from, To: to, Names: sorted(used)})
			}
		}
	}
	return references
}

// groups returns the strongly connected components of more than one file, by Tarjan's algorithm (SIAM Journal on
// Computing 1, 1972), sorted.
func (u uses) groups() [][]string {
	w := walk{uses: u, index: map[string]int{}, low: map[string]int{}, onStack: map[string]bool{}}
	for _, file := range sorted(u) {
		if w.index[file] == 0 {
			w.visit(file)
		}
	}
	slices.SortFunc(w.groups, slices.Compare)
	return w.groups
}

// walk is one run of the algorithm.
type walk struct {
	uses    uses
	index   map[string]int // order of the visits, from 1
	low     map[string]int // least index on the stack that can be reached
	stack   []string
	onStack map[string]bool
	groups  [][]string
}

func (w *walk) visit(file string) {
	w.index[file] = len(w.index) + 1
	w.low[file] = w.index[file]
	w.stack = append(w.stack, file)
	w.onStack[file] = true
	for used := range w.uses[file] {
		if w.index[used] == 0 {
			w.visit(used)
			w.low[file] = min(w.low[file], w.low[used])
		} else if w.onStack[used] {
			w.low[file] = min(w.low[file], w.index[used])
		}
	}
	if w.low[file] == w.index[file] {
		w.pop(file)
	}
}

// pop removes the component whose first file is on the stack, and keeps it when it has another file.
func (w *walk) pop(first string) {
	at := slices.Index(w.stack, first)
	group := slices.Sorted(slices.Values(w.stack[at:]))
	w.stack = w.stack[:at]
	for _, file := range group {
		w.onStack[file] = false
	}
	if len(group) > 1 {
		w.groups = append(w.groups, group)
	}
}

func sorted[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
