package archive

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName  = 4096 // bytes of a whole name
	maxPart  = 255  // bytes of one part, as file systems have it
	maxDepth = 100  // parts
)

// cleanName returns the entry's place inside the folder, "." for the folder itself.
func cleanName(name string) (string, *Refusal) {
	switch {
	case name == "":
		return "", refuse("", "has an entry without a name")
	case !utf8.ValidString(name):
		return "", refuse(name, "has a name that is no UTF-8")
	case len(name) > maxName:
		return "", refuse(name, "has a name of more than %d bytes", maxName)
	case strings.HasPrefix(name, "/"):
		return "", refuse(name, "is absolute; pack with names relative to the folder (tar -C FOLDER .)")
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return "", refuse(name, "has a control character in its name")
	}
	parts := strings.Split(strings.TrimSuffix(name, "/"), "/")
	depth := 0
	for _, part := range parts {
		switch {
		case part == "..":
			return "", refuse(name, "climbs out of the folder")
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

// linkTarget returns where a symbolic link leads, relative to the folder.
func linkTarget(entry, at, target string) (string, *Refusal) {
	switch {
	case target == "":
		return "", refuse(entry, "is a link to nothing")
	case len(target) > maxName || !utf8.ValidString(target) || strings.ContainsFunc(target, unicode.IsControl):
		return "", refuse(entry, "is a link to an impossible name")
	case strings.HasPrefix(target, "/"):
		return "", refuse(entry, "is a link to an absolute name, and would lead out of the folder")
	}
	to := path.Join(path.Dir(at), target)
	if to == ".." || strings.HasPrefix(to, "../") {
		return "", refuse(entry, "is a link that leads out of the folder")
	}
	return to, nil
}
