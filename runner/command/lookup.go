package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The exit codes of commands that cannot be started, as shells have them.
const (
	ExitNotExecutable = 126
	ExitNotFound      = 127
)

// errStopped says that a command was stopped before it was started.
var errStopped = errors.New("stopped before it was started")

// lookPath finds the program as a shell does: a name with a slash is a path from the working directory, any other name
// is looked up in PATH. As in a shell, a path that was found is cached while it is executable.
func (h *Host) lookPath(argv, env []string) (string, *StartError) {
	if len(argv) == 0 || strings.ContainsRune(argv[0], '/') {
		return lookPath(argv, env)
	}
	key := argv[0] + "\x00" + pathOf(env)
	if found, is := h.found.Load(key); is {
		if path, _ := found.(string); unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
		h.found.Delete(key)
	}
	path, fail := lookPath(argv, env)
	if fail == nil {
		h.found.Store(key, path)
	}
	return path, fail
}

func lookPath(argv, env []string) (string, *StartError) {
	if len(argv) == 0 || argv[0] == "" {
		return "", &StartError{Exit: ExitNotFound, Detail: "the command is empty; name a program"}
	}
	name := argv[0]
	if strings.ContainsRune(name, '/') {
		return name, nil
	}
	denied := false
	for _, dir := range filepath.SplitList(pathOf(env)) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := dir + "/" + name
		switch err := unix.Access(path, unix.X_OK); {
		case err == nil && isFile(path):
			return path, nil
		case err == nil, errors.Is(err, unix.EACCES):
			denied = denied || isFile(path)
		}
	}
	if denied {
		return "", notExecutable(name)
	}
	return "", &StartError{Exit: ExitNotFound, Detail: fmt.Sprintf(
		"%s: not found in PATH; name a program that is installed, or \"./%s\" for a file of the source", name, name)}
}

func pathOf(env []string) string {
	for _, v := range env {
		if path, is := strings.CutPrefix(v, "PATH="); is {
			return path
		}
	}
	return ""
}

func isFile(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

func notExecutable(name string) *StartError {
	return &StartError{Exit: ExitNotExecutable, Detail: name + ": not executable; set its x bit (chmod +x) before it is packed"}
}

// startError explains why execve failed.
func startError(name, dir, path string, err error) *StartError {
	switch {
	case errors.Is(err, errStopped):
		return &StartError{Detail: err.Error()}
	case errors.Is(err, unix.E2BIG):
		return &StartError{TooBig: true, Exit: ExitNotExecutable, Detail: name + ": its arguments are more than the system takes"}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return notFound(name, dir, path)
	case errors.Is(err, unix.EACCES):
		return notExecutable(name)
	case errors.Is(err, unix.ENOEXEC):
		return &StartError{Exit: ExitNotExecutable, Detail: name + ": not a program of this machine; begin a script with a line such as #!/bin/sh"}
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL):
		return &StartError{Exit: ExitNotExecutable, Detail: fmt.Sprintf("%s: %v", name, err)}
	}
	return systemError(err)
}

func notFound(name, dir, path string) *StartError {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if _, err := os.Stat(path); err == nil {
		return &StartError{Exit: ExitNotFound, Detail: name + ": its interpreter is not found; check its first line, and its line ends"}
	}
	return &StartError{Exit: ExitNotFound, Detail: name + ": not found; paths are relative to the source"}
}

func systemError(err error) *StartError {
	return &StartError{Exit: ExitNotExecutable, Detail: fmt.Sprintf("the command cannot be started: %v", err)}
}
