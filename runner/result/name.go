package result

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EntryName returns the name of a path's entry in a zip.
func EntryName(path string) string {
	if plain(path) {
		return path
	}
	var b strings.Builder
	for len(path) > 0 {
		r, n := utf8.DecodeRuneInString(path)
		if special(r, n) {
			for i := range n {
				fmt.Fprintf(&b, "%%%02X", path[i])
			}
		} else {
			b.WriteString(path[:n])
		}
		path = path[n:]
	}
	return b.String()
}

func plain(path string) bool {
	for i, r := range path {
		if r == utf8.RuneError {
			_, n := utf8.DecodeRuneInString(path[i:])
			if special(r, n) {
				return false
			}
		} else if special(r, 0) {
			return false
		}
	}
	return true
}

// special reports whether a rune of n bytes is escaped, because some unpackers fail on it.
func special(r rune, n int) bool {
	return r == '\\' || unicode.IsControl(r) || r == utf8.RuneError && n == 1
}
