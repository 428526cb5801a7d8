// Package confine restricts this process and all processes that it starts with Landlock: they cannot write outside the
// runner's folder, cannot read the hidden folders and, from Landlock 8 on, cannot send signals to processes outside. A
// restriction that the kernel does not support is left out, and the level that Apply returns says so. Start at Apply.
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

// noLevel begins the level that Apply returns if nothing is confined.
const noLevel = "none: "

// Apply confines all threads of this process for good. It returns the level reached, for example "landlock v5", or
// "none: " and the reason. If the launch does not ask for Landlock, Apply does nothing. It returns an error if the
// kernel has Landlock and confining failed.
func Apply(l *task.Launch) (level string, err error) {
	if !l.Landlock {
		return cmp.Or(l.Sandbox, noLevel+"not asked for"), nil
	}
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return noLevel + "this kernel has no Landlock", nil //nolint:nilerr // a kernel without Landlock is no error
	}
	rules, err := rules(l)
	if err != nil {
		return "", fmt.Errorf("confine: %w", err)
	}
	// Files and scopes in one layer, because a layer without paths forbids links between folders.
	want, err := landlock.NewConfig(landlock.V7.HandledAccessFS, scopes(version))
	if err != nil {
		return "", fmt.Errorf("confine: %w", err)
	}
	if err := want.BestEffort().Restrict(rules...); err != nil {
		return "", fmt.Errorf("confine: %w", err)
	}
	return fmt.Sprintf("landlock v%d", min(version, 7)), nil
}

// oneDomain is the first version of Landlock that confines all threads of a process in one domain. In earlier versions
// each thread has a domain of its own, so that with scoped signals one thread cannot kill the command that another
// thread started.
const oneDomain = 8

// scopes returns the restrictions other than those on files.
func scopes(version int) landlock.ScopedSet {
	if version < oneDomain {
		return 0
	}
	return landlock.V7.Scoped
}

// rules returns the accesses that stay allowed.
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

// devices returns device files that programs write to even if they write no other file.
func devices() []string {
	return []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}
}

// resolve returns the real paths of folders. It omits folders that do not exist.
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
			continue // does not exist, or cannot be read anyway
		case err != nil:
			return nil, fmt.Errorf("hide %s: %w", path, err)
		}
		out = append(out, target)
	}
	return out, nil
}

// readable returns the folders and files that may be read. Landlock has rules that allow and none that deny: for a
// folder with a hidden folder below it, readable returns the other entries one by one. An entry that is created in such
// a folder later cannot be read.
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
		return // a folder that cannot be listed cannot be read
	}
	for _, e := range entries {
		child := filepath.Join(path, e.Name())
		switch {
		case w.isHidden(child):
		case w.holdsHidden(child):
			w.folder(child)
		case e.IsDir():
			w.dirs = append(w.dirs, child)
		case e.Type()&os.ModeSymlink == 0: // a link needs no rule: its target has one, or is hidden
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
