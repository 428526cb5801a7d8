// Package argv makes a command's arguments and environment from the fields and files of a call. It starts nothing. The
// error for a missing field or file is a *form.Fault. Start at Arguments.
//
// Environment: the variable of a field is DAVIT_FIELD_ and the field's name in upper case, with "_" in place of every
// character but A-Z, 0-9 and "_". If several fields have one variable, it has the value of the first in order of
// arrival (path, then query, then body). A value of more than 8 KiB, and values beyond 128 KiB together, have no
// variable; the request file has all of them.
package argv

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/runner/form"
)

// Arguments returns the command with its placeholders replaced by the fields and files of the call. A value is never
// expanded again. In the counted style the number of field values, the values, the number of files and their names
// follow the command's own arguments.
func Arguments(command []string, style faas.ArgumentStyle, in *form.Input) ([]string, error) {
	if style == faas.Counted {
		return counted(command, in), nil
	}
	out := make([]string, 0, len(command))
	for _, arg := range command {
		p, is, err := spec.ParsePlaceholder(arg)
		if err != nil {
			return nil, form.Faultf("the trigger's command cannot be used: %v", err)
		}
		if !is {
			out = append(out, arg)
			continue
		}
		if out, err = expand(out, p, in); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func counted(command []string, in *form.Input) []string {
	out := append(make([]string, 0, len(command)+2+len(in.Fields)+len(in.Files)), command...)
	out = append(out, strconv.Itoa(len(in.Fields)))
	for i := range in.Fields {
		out = append(out, in.Fields[i].Value)
	}
	out = append(out, strconv.Itoa(len(in.Files)))
	for i := range in.Files {
		out = append(out, path(in.Files[i].Name))
	}
	return out
}

// expand appends the values or file names of a placeholder.
func expand(out []string, p spec.Placeholder, in *form.Input) ([]string, error) {
	before := len(out)
	switch p.Kind {
	case spec.PlaceholderField, spec.PlaceholderFields:
		for i := range in.Fields {
			if p.Kind == spec.PlaceholderFields || in.Fields[i].Name == p.Name {
				out = append(out, in.Fields[i].Value)
			}
		}
	case spec.PlaceholderFile, spec.PlaceholderFiles, spec.PlaceholderBody:
		for i := range in.Files {
			if names(p, &in.Files[i]) {
				out = append(out, path(in.Files[i].Name))
			}
		}
	}
	list := p.Kind == spec.PlaceholderFields || p.Kind == spec.PlaceholderFiles
	if len(out) == before && !list {
		return nil, missing(p)
	}
	return out, nil
}

// names reports whether a placeholder stands for a file.
func names(p spec.Placeholder, f *form.File) bool {
	switch p.Kind {
	case spec.PlaceholderFiles:
		return true
	case spec.PlaceholderBody:
		return f.Field == form.BodyName && f.Name == form.BodyName
	case spec.PlaceholderFile:
		return f.Field == p.Name
	case spec.PlaceholderField, spec.PlaceholderFields:
	}
	return false
}

func missing(p spec.Placeholder) *form.Fault {
	switch p.Kind {
	case spec.PlaceholderBody:
		return form.Faultf("the command needs the body as a file (%s), and none came; send a body that is not a form", p)
	case spec.PlaceholderFile:
		return form.Faultf("the command needs the file %q (%s), and none came; send it in a multipart/form-data body", p.Name, p)
	case spec.PlaceholderField, spec.PlaceholderFields, spec.PlaceholderFiles:
	}
	return form.Faultf("the command needs the field %q (%s), and none came; send it in the path, the query or the body", p.Name, p)
}

// path returns a file name that no program mistakes for an option.
func path(name string) string {
	if strings.HasPrefix(name, "-") {
		return "./" + name
	}
	return name
}

// The kernel's limits, see execve(2).
const (
	maxString   = 32 * 4096 // one argument or variable with its end
	minTotal    = 32 * 4096
	maxTotal    = 6 << 20
	pointerSize = 8
)

// Limit returns how many bytes arguments and environment may have together, as the kernel counts them: a quarter of the
// stack limit, from 128 KiB to 6 MiB.
func Limit() int64 {
	var stack unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &stack); err != nil {
		return minTotal
	}
	return int64(max(min(stack.Cur/4, maxTotal), minTotal))
}

// CheckSize returns a *form.Fault for arguments and environment that the kernel would refuse.
func CheckSize(argv, env []string, limit int64) error {
	total := int64(pointerSize * 2)
	for i, arg := range argv {
		if len(arg) >= maxString {
			return form.Faultf("argument %d has %d bytes; it must have fewer than %d; send the value as a file", i, len(arg), maxString)
		}
		total += int64(len(arg)) + 1 + pointerSize
	}
	for _, v := range env {
		total += int64(len(v)) + 1 + pointerSize
	}
	// The kernel also counts the program's path and a few words.
	if total += 4096 + int64(pointerSize)*64; total > limit {
		return form.Faultf("the arguments and the environment have %d bytes together; at most %d are possible; send large values as files", total, limit)
	}
	return nil
}
