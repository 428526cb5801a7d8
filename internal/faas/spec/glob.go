package spec

import (
	"fmt"
	"strings"

	"davit/internal/faas"
	"davit/internal/faas/route"
)

// maxGlobBranches bounds the {…} and the ** of one pattern: the work of matching doubles with each.
const maxGlobBranches = 8

// checkGlob returns "" for a result pattern that is well formed and cannot leave the workspace, else what is wrong with
// it. The syntax is that of doublestar: *, **, ?, [class], {one,other} and backslash.
func checkGlob(glob string) string {
	switch {
	case glob == "":
		return "is empty"
	case len(glob) > route.MaxPathBytes:
		return fmt.Sprintf("has %d bytes; at most %d are allowed", len(glob), route.MaxPathBytes)
	case strings.IndexByte(glob, 0) >= 0:
		return "holds a NUL character"
	case strings.Count(glob, "{") > maxGlobBranches || strings.Count(glob, "**") > maxGlobBranches:
		return fmt.Sprintf("holds more than %d {…} or **; write several patterns instead", maxGlobBranches)
	}
	if fault := checkGlobSyntax(glob); fault != "" {
		return fault
	}
	return checkGlobParts(glob)
}

// checkGlobSyntax looks for what is opened and not closed.
func checkGlobSyntax(glob string) string {
	open := 0
	for i := 0; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			if i++; i == len(glob) {
				return `ends with a backslash; write \\ for the character itself`
			}
		case '[':
			size := classSize(glob[i:])
			if size == 0 {
				return `holds a [ without its class and ]; write \[ for the character itself`
			}
			i += size - 1
		case '{':
			open++
		case '}':
			if open--; open < 0 {
				return `holds a } without its {; write \} for the character itself`
			}
		}
	}
	if open > 0 {
		return `holds a { without its }; write \{ for the character itself`
	}
	return ""
}

// classSize returns the length of the class that s, which begins with a bracket, begins with; 0 when it is empty or not
// closed.
func classSize(s string) int {
	i := 1
	if i < len(s) && (s[i] == '^' || s[i] == '!') {
		i++
	}
	if i == len(s) || s[i] == ']' {
		return 0
	}
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ']':
			return i + 1
		}
	}
	return 0
}

// checkGlobParts looks for parts that climb or begin at the root, whatever is escaped, in a class or an alternative in
// them.
func checkGlobParts(glob string) string {
	plain := strings.NewReplacer(`\`, "", "[", "", "]", "").Replace(glob)
	inBraces := strings.HasPrefix(plain, "{") && (strings.Contains(plain, "{/") || strings.Contains(plain, ",/"))
	switch {
	case strings.HasPrefix(plain, "/") || inBraces:
		return "is absolute; results are relative to the workspace"
	case strings.HasSuffix(plain, "/"):
		return "ends with a slash; write " + faas.Clip(glob) + "** for all files below it"
	case strings.Contains(plain, "//"):
		return "holds two slashes in a row"
	}
	isSeparator := func(r rune) bool { return strings.ContainsRune("/{},", r) }
	for part := range strings.FieldsFuncSeq(plain, isSeparator) {
		if part == "." || part == ".." {
			return fmt.Sprintf("holds a %q part; results are inside the workspace", part)
		}
	}
	return ""
}
