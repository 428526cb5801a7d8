package workspace

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"davit/internal/text"
	"davit/runner/form"
)

// maxName is how many bytes a file name can have on Linux.
const maxName = 255

// CleanName returns the name of an upload in the workspace, or a *form.Fault.
func CleanName(sent string) (string, error) {
	name := sent
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	switch {
	case !utf8.ValidString(sent):
		return "", form.Faultf("the file name %q is not UTF-8; send it in UTF-8", clip(sent))
	case strings.ContainsFunc(sent, unicode.IsControl):
		return "", form.Faultf("the file name %q contains control characters; rename the file", clip(sent))
	case name == "":
		return "", form.Faultf("the file name %q has no name after its last slash; name the file", clip(sent))
	case name == "." || name == "..":
		return "", form.Faultf("the file name %q names a folder; rename the file", clip(sent))
	case len(name) > maxName:
		return "", form.Faultf("the file name %q has %d bytes; at most %d are allowed", clip(name), len(name), maxName)
	}
	return name, nil
}

func clip(s string) string { return text.Clip(s, 80) }
