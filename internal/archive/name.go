package archive

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName    = 1024 // bytes of a whole name, or of a link's target
	maxSegment = 255  // bytes between two slashes, the limit of common file systems
	maxDepth   = 100  // segments
)

// cleanName returns the entry's path relative to the folder, "." for the folder itself.
func cleanName(name string) (string, *Refusal) {
	if name == "" {
		return "", refuse("", "has an entry without a name")
	}
	if why := nameFault(name); why != "" {
		return "", refuse(name, "has a name that %s", why)
	}
	if strings.HasPrefix(name, "/") {
		return "", refuse(name, "is absolute: pack with names relative to the folder, as tar -czf x.tgz -C FOLDER . does")
	}
	depth := 0
	for segment := range strings.SplitSeq(name, "/") {
		switch {
		case segment == "..":
			return "", refuse(name, `has ".." in its name: pack with names relative to the folder`)
		case len(segment) > maxSegment:
			return "", refuse(name, "has a name with more than %d bytes between two slashes", maxSegment)
		case segment != "." && segment != "":
			depth++
		}
	}
	if depth > maxDepth {
		return "", refuse(name, "is more than %d folders deep", maxDepth)
	}
	return path.Clean(name), nil
}

// checkTarget checks the text of a symbolic link's target. tree.checkLinks checks where the link leads.
func checkTarget(entry, target string) *Refusal {
	if target == "" {
		return refuse(entry, "is a link without a target")
	}
	if why := nameFault(target); why != "" {
		return refuse(entry, "is a link to a name that %s", why)
	}
	if strings.HasPrefix(target, "/") {
		return refuse(entry, "is a link to the absolute name %s: links must be relative and stay in the folder", quote(target))
	}
	return nil
}

// nameFault returns why the name is refused, "" if it is allowed.
func nameFault(name string) string {
	switch {
	case len(name) > maxName:
		return "is longer than 1024 bytes"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has control characters"
	}
	return ""
}
