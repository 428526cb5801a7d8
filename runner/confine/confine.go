// Package confine restricts this process and all that it starts with Landlock: they
// write nothing outside the runner's folder, read nothing of the folders that are
// hidden, and, from Landlock 8 on, send no signals to processes outside. What the
// kernel does not offer is left out, and said. Start at Apply.
package confine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"davit/internal/task"
)

// noLevel begins what Apply says where nothing is confined.
const noLevel = "none: "

// Apply confines all threads of this process for good and returns the level reached,
// such as "landlock v5", or "none: " and why. When the launch does not ask for it,
// nothing is done. An error means that it should have been possible.
func Apply(l *task.Launch) (level string, err error) {
	if !l.Landlock {
		return cmp.Or(l.Sandbox, noLevel+"not asked for"), nil
	}
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return noLevel + "this kernel has no Landlock", nil //nolint:nilerr // that it has none is no error
	}
	rules, err := rules(l)
	if err != nil {
		return "", fmt.Errorf("confine: %w", err)
	}
	// Both at once: a layer without paths would forbid links between folders.
	want, err := landlock.NewConfig(landlock.V7.HandledAccessFS, scopes(version))
	if err != nil {
		return "", fmt.Errorf("confine: %w", err)
	}
	if err := want.BestEffort().Restrict(rules...); err != nil {
		return "", fmt.Errorf("confine: %w", err)
	}
	return fmt.Sprintf("landlock v%d", min(version, 7)), nil
}

// oneDomain is the first version of Landlock that confines all threads of a process
// as one. Before, each has a domain of its own, and where signals are scoped one
// thread cannot kill the command that another one started.
const oneDomain = 8

// scopes are what processes outside are closed to, beside files.
func scopes(version int) landlock.ScopedSet {
	if version < oneDomain {
		return 0
	}
	return landlock.V7.Scoped
}

// rules returns what stays allowed.
func rules(l *task.Launch) ([]landlock.Rule, error) {
	hidden, err := resolve(l.Hide)
	if err != nil {
		return nil, err
	}
	dirs, files := readable(hidden)
	if l.SourceDir != "" {
		dirs = append(dirs, l.SourceDir)
	}
	return []landlock.Rule{
		landlock.RODirs(dirs...).IgnoreIfMissing(),
		landlock.ROFiles(files...).IgnoreIfMissing(),
		landlock.RWDirs(l.Dir).WithRefer(),
		landlock.RWFiles(devices()...).WithIoctlDev().IgnoreIfMissing(),
	}, nil
}

// devices are written by programs that write nothing.
func devices() []string {
	return []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}
}

// resolve returns the real paths of folders; those that are not there hide nothing.
func resolve(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("hide %s: %w", path, err)
		}
		target, err := filepath.EvalSymlinks(abs)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
			continue // not there, or closed already
		case err != nil:
			return nil, fmt.Errorf("hide %s: %w", path, err)
		}
		out = append(out, target)
	}
	return out, nil
}

// readable returns the folders and files that may be read. Landlock allows and never
// denies: where something below a folder is hidden, its other entries are named one by
// one. What is made in such a folder later cannot be read.
func readable(hidden []string) (dirs, files []string) {
	if len(hidden) == 0 {
		return []string{"/"}, nil
	}
	w := siblings{hidden: hidden}
	w.folder("/")
	return w.dirs, w.files
}

type siblings struct {
	hidden      []string
	dirs, files []string
}

func (w *siblings) folder(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return // what cannot be listed stays closed
	}
	for _, e := range entries {
		child := filepath.Join(path, e.Name())
		switch {
		case w.isHidden(child):
		case w.holdsHidden(child):
			w.folder(child)
		case e.IsDir():
			w.dirs = append(w.dirs, child)
		case e.Type()&os.ModeSymlink == 0: // a link's target has a rule of its own, or is hidden
			w.files = append(w.files, child)
		}
	}
}

func (w *siblings) isHidden(path string) bool {
	for _, h := range w.hidden {
		if h == path || h == "/" {
			return true
		}
	}
	return false
}

func (w *siblings) holdsHidden(path string) bool {
	for _, h := range w.hidden {
		if strings.HasPrefix(h, path+"/") {
			return true
		}
	}
	return false
}
