package workspace

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"davit/internal/text"
	"davit/runner/form"
)

// maxName is the most bytes that a file name has on Linux.
const maxName = 255

// CleanName returns the name that an upload is kept under, or a *form.Fault.
func CleanName(sent string) (string, error) {
	name := sent
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	switch {
	case !utf8.ValidString(sent):
		return "", form.Faultf("the file name %q is not UTF-8; send it in UTF-8", clip(sent))
	case strings.ContainsFunc(sent, unicode.IsControl):
		return "", form.Faultf("the file name %q holds control characters; rename the file", clip(sent))
	case name == "":
		return "", form.Faultf("the file name %q ends in no name; name the file", clip(sent))
	case name == "." || name == "..":
		return "", form.Faultf("the file name %q names a folder; rename the file", clip(sent))
	case len(name) > maxName:
		return "", form.Faultf("the file name %q has %d bytes; at most %d are allowed", clip(name), len(name), maxName)
	}
	return name, nil
}

func clip(s string) string { return text.Clip(s, 80) }
