package archive

import (
	"path"
	"slices"
	"strings"
)

type kind uint8

const (
	kindDir kind = iota
	kindFile
	kindLink
)

const (
	// maxHops is how many links a path may pass, as kernels have it.
	maxHops = 40
	// maxSteps bounds the work of following all links of an archive: a few chained ones can take longer
	// than any number of honest ones.
	maxSteps = 4_000_000
	// maxHardLinks is how many names a file may have; file systems allow no more than 65,000.
	maxHardLinks = 10_000
)

// tree is what an archive's entries make, without their contents: enough to
// decide every rule before, or without, touching a file system.
type tree struct {
	nodes map[string]*node
	links []symlink // in the order of the archive
	steps int
}

type node struct {
	kind   kind
	named  bool // by an entry of its own, not only as a parent
	size   int64
	names  int    // of a file: this and its hard links
	target string // of a symbolic link
}

// symlink is a symbolic link; those are made last, when it is known where all lead.
type symlink struct{ entry, at, target string }

func newTree() *tree {
	return &tree{nodes: map[string]*node{".": {kind: kindDir}}}
}

// add places an entry. Its parents must be folders, or become ones: these are
// returned, outermost first.
func (t *tree) add(entry, at string, n *node) ([]string, *Refusal) {
	if at == "." {
		return nil, t.addRoot(entry, n)
	}
	had := t.nodes[at]
	switch {
	case had != nil && had.named:
		return nil, refuse(entry, "is there twice")
	case had != nil && n.kind != kindDir:
		return nil, refuse(entry, "is a folder, by the names of other entries, and something else")
	}
	var made []string
	for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
		parent := t.nodes[dir]
		if parent == nil {
			made = append(made, dir)
			continue
		}
		if parent.kind != kindDir {
			return nil, refuse(entry, "lies below %s, which is no folder", quote(dir))
		}
		break
	}
	slices.Reverse(made)
	for _, dir := range made {
		t.nodes[dir] = &node{kind: kindDir}
	}
	if n.kind == kindDir && had == nil {
		made = append(made, at)
	}
	n.named = true
	t.nodes[at] = n
	return made, nil
}

// addRoot takes an entry for the folder itself, as tar makes of ".".
func (t *tree) addRoot(entry string, n *node) *Refusal {
	root := t.nodes["."]
	switch {
	case n.kind != kindDir:
		return refuse(entry, "stands for the folder itself, but is none")
	case root.named:
		return refuse(entry, "is there twice")
	}
	root.named = true
	return nil
}

// file finds the file that a hard link names, and counts the link.
func (t *tree) file(entry, target string) (string, *node, *Refusal) {
	old, refusal := cleanName(target)
	if refusal != nil {
		return "", nil, refuse(entry, "is a hard link to %s, which cannot be in the folder", quote(target))
	}
	n := t.nodes[old]
	if n == nil || n.kind != kindFile {
		return "", nil, refuse(entry, "is a hard link to %s, which is no file that came before it", quote(target))
	}
	if n.names++; n.names > maxHardLinks {
		return "", nil, refuse(entry, "is one of more than %d hard links to %s", maxHardLinks, quote(target))
	}
	return old, n, nil
}

// checkLinks refuses links that lead out when they are followed through other
// links, whatever the order of the entries. A link to nothing is fine.
func (t *tree) checkLinks() *Refusal {
	for _, link := range t.links {
		if why := t.follow(link.at); why != "" {
			return refuse(link.entry, "%s", why)
		}
	}
	return nil
}

// follow takes a path part by part, as a kernel does, and says what is wrong with where it leads.
func (t *tree) follow(at string) string {
	where, rest, hops := ".", at, 0
	for rest != "" {
		if t.steps++; t.steps > maxSteps {
			return "is one of many links that lead through one another: unpack and pack without them"
		}
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case ".", "":
			continue
		case "..":
			if where == "." {
				return "is a link that leads out of the folder: links must be relative and stay in it"
			}
			where = path.Dir(where)
			continue
		}
		next := path.Join(where, part)
		n := t.nodes[next]
		if n == nil || n.kind != kindLink {
			where = next
			continue
		}
		if hops++; hops > maxHops {
			return "is a link that leads to itself, or through too many others"
		}
		rest = n.target + "/" + rest
	}
	return ""
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
