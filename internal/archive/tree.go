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
	// maxHops is how many links a path may follow, as in the Linux kernel.
	maxHops = 40
	// maxSteps bounds the work of following all links of an archive, because a few links that lead through one another
	// can take longer than any number of ordinary links.
	maxSteps = 4_000_000
	// maxHardLinks is how many names a file may have. File systems allow at most 65,000.
	maxHardLinks = 10_000
)

// tree is the tree of an archive's entries without their contents. All rules about names and links are checked on it
// before anything is written.
type tree struct {
	nodes map[string]*node
	links []symlink // in the order of the archive
	steps int
}

type node struct {
	kind   kind
	named  bool // the archive has an entry for the node; false: the node is only a parent of another
	size   int64
	names  int    // of a file: its name and its hard links
	target string // of a symbolic link
}

// symlink is a symbolic link. Symbolic links are created last, after checkLinks has followed all of them.
type symlink struct{ entry, at, target string }

func newTree() *tree {
	return &tree{nodes: map[string]*node{".": {kind: kindDir}}}
}

// add adds an entry. Its parents must be folders. add adds the missing parents as folders and returns the folders that
// it added, outermost first.
func (t *tree) add(entry, at string, n *node) ([]string, *Refusal) {
	if at == "." {
		return nil, t.addRoot(entry, n)
	}
	had := t.nodes[at]
	switch {
	case had != nil && had.named:
		return nil, refuse(entry, "appears twice")
	case had != nil && n.kind != kindDir:
		return nil, refuse(entry, "is not a folder, but other entries are below it")
	}
	var made []string
	for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
		parent := t.nodes[dir]
		if parent == nil {
			made = append(made, dir)
			continue
		}
		if parent.kind != kindDir {
			return nil, refuse(entry, "is below %s, which is not a folder", quote(dir))
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

// addRoot adds an entry for the folder itself, which tar writes for ".".
func (t *tree) addRoot(entry string, n *node) *Refusal {
	root := t.nodes["."]
	switch {
	case n.kind != kindDir:
		return refuse(entry, "is the top folder by its name, but not a folder")
	case root.named:
		return refuse(entry, "appears twice")
	}
	root.named = true
	return nil
}

// file returns the file that a hard link names, and counts the link.
func (t *tree) file(entry, target string) (string, *node, *Refusal) {
	old, refusal := cleanName(target)
	if refusal != nil {
		return "", nil, refuse(entry, "is a hard link to %s, which cannot be in the folder", quote(target))
	}
	n := t.nodes[old]
	if n == nil || n.kind != kindFile {
		return "", nil, refuse(entry, "is a hard link to %s, but no file before it has that name", quote(target))
	}
	if n.names++; n.names > maxHardLinks {
		return "", nil, refuse(entry, "is one of more than %d hard links to %s", maxHardLinks, quote(target))
	}
	return old, n, nil
}

// checkLinks refuses symbolic links that lead out of the folder, directly or through other links, in any order of the
// entries. A link may lead to a path without an entry.
func (t *tree) checkLinks() *Refusal {
	for _, link := range t.links {
		if why := t.follow(link.at); why != "" {
			return refuse(link.entry, "%s", why)
		}
	}
	return nil
}

// follow resolves a path segment by segment, as a kernel does. It returns why the path is refused, or "".
func (t *tree) follow(at string) string {
	resolved, rest, hops := ".", at, 0
	for rest != "" {
		if t.steps++; t.steps > maxSteps {
			return "is one of many links that lead through one another: unpack and pack without them"
		}
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		switch segment {
		case ".", "":
			continue
		case "..":
			if resolved == "." {
				return "is a link that leads out of the folder: links must be relative and stay in it"
			}
			resolved = path.Dir(resolved)
			continue
		}
		next := path.Join(resolved, segment)
		n := t.nodes[next]
		if n == nil || n.kind != kindLink {
			resolved = next
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
