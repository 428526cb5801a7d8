package faas

import (
	"fmt"
	"strings"
)

// MaxEnvName is how many bytes the name of a variable may have.
const MaxEnvName = 128

// CheckEnvName returns "" for a name that a function may set, else what is wrong with it.
func CheckEnvName(name string) string {
	switch {
	case !IsIdentifier(name):
		return fmt.Sprintf("%q is no name of a variable; use letters, digits and _, and no digit first", Clip(name))
	case len(name) > MaxEnvName:
		return fmt.Sprintf("has a name of %d characters; at most %d are allowed", len(name), MaxEnvName)
	case name == "PATH":
		return "PATH is set by Davit; give programs with their path, or wrap the command"
	}
	for _, prefix := range []string{"LD_", "DAVIT_", "KUBERNETES_"} {
		if strings.HasPrefix(name, prefix) {
			return fmt.Sprintf("%s is reserved, as all names that begin with %s; choose another", Clip(name), prefix)
		}
	}
	return ""
}

// IsIdentifier reports whether s consists of letters, digits and _, and begins with no digit.
func IsIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
