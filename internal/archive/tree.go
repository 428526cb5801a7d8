package archive

import (
	"path"
	"slices"
	"strings"
)

type kind int

const (
	kindDir kind = iota
	kindFile
	kindLink
)

// tree is what an archive's entries make, without their contents: enough to
// decide every rule before, or without, touching a file system.
type tree struct {
	nodes map[string]node
	named map[string]bool // by an entry of its own, not only as a parent
}

type node struct {
	kind   kind
	entry  string // its name in the archive
	target string // of a link: where it leads, relative to the folder
}

func newTree() *tree {
	return &tree{nodes: map[string]node{".": {kind: kindDir}}, named: map[string]bool{}}
}

// add places an entry; its parents must be, or become, folders.
func (t *tree) add(at string, n node) *Refusal {
	if at == "." {
		if n.kind != kindDir {
			return refuse(n.entry, "stands for the folder itself")
		}
		return nil
	}
	if t.named[at] {
		return refuse(n.entry, "is there twice")
	}
	if had, ok := t.nodes[at]; ok && (had.kind != kindDir || n.kind != kindDir) {
		return refuse(n.entry, "is both a folder and something else")
	}
	for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
		parent, ok := t.nodes[dir]
		if ok && parent.kind != kindDir {
			return refuse(n.entry, "lies below %q, which is no folder", dir)
		}
		if ok {
			break
		}
		t.nodes[dir] = node{kind: kindDir, entry: n.entry}
	}
	t.nodes[at], t.named[at] = n, true
	return nil
}

// maxHops is how many links a path may pass, as kernels have it.
const maxHops = 40

// checkLinks refuses links that lead out when they are followed through other
// links, whatever the order of the entries. A link to nothing is fine.
func (t *tree) checkLinks() *Refusal {
	for at, n := range t.nodes {
		if n.kind != kindLink {
			continue
		}
		if !t.inside(at) {
			return refuse(n.entry, "is a link that leads out of the folder through other links")
		}
	}
	return nil
}

// inside follows the path part by part as a kernel does.
func (t *tree) inside(at string) bool {
	hops := 0
	todo := strings.Split(at, "/")
	where := "."
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case ".", "":
			continue
		case "..":
			if where == "." {
				return false
			}
			where = path.Dir(where)
			continue
		}
		where = path.Join(where, part)
		n, ok := t.nodes[where]
		if !ok || n.kind != kindLink {
			continue
		}
		if hops++; hops > maxHops {
			return false
		}
		todo = append(strings.Split(n.target, "/"), todo...)
		where = path.Dir(where)
	}
	return true
}

// top returns the names at the top, sorted.
func (t *tree) top() []string {
	var names []string
	for at := range t.nodes {
		if at != "." && !strings.Contains(at, "/") {
			names = append(names, at)
		}
	}
	slices.Sort(names)
	return names
}
