package archive

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName  = 1024 // bytes of a whole name, or of a link's target
	maxPart  = 255  // bytes of one part, the limit of common file systems
	maxDepth = 100  // parts
)

// cleanName returns the entry's path relative to the folder, "." for the folder itself.
func cleanName(name string) (string, *Refusal) {
	if name == "" {
		return "", refuse("", "has an entry without a name")
	}
	if why := unspeakable(name); why != "" {
		return "", refuse(name, "has a name that %s", why)
	}
	if strings.HasPrefix(name, "/") {
		return "", refuse(name, "is absolute: pack with names relative to the folder, as tar -czf x.tgz -C FOLDER . does")
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return "", refuse(name, "climbs out with a .. in its name: pack with names relative to the folder")
		case len(part) > maxPart:
			return "", refuse(name, "has a part of more than %d bytes in its name", maxPart)
		case part != "." && part != "":
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
		return refuse(entry, "is a link to nothing")
	}
	if why := unspeakable(target); why != "" {
		return refuse(entry, "is a link to a name that %s", why)
	}
	if strings.HasPrefix(target, "/") {
		return refuse(entry, "is a link to the absolute name %s: links must be relative and stay in the folder", quote(target))
	}
	return nil
}

// unspeakable returns why no file may have the name, "" if a file may.
func unspeakable(name string) string {
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
