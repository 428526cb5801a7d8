package workspace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"davit/runner/form"
)

// The entries of a room.
const (
	workName    = "work"
	homeName    = "home"
	tempName    = "tmp"
	requestName = "request.json"
)

// Room is one slot's workspace and what belongs to it. It is for one call at a time.
type Room struct {
	dir, work, home, temp string

	source *Source

	folders     [4]folder // as they were made: the room itself, work, home, temp
	usedAt      time.Time // when this call first did something; zero: not yet
	request     *os.File
	requestNode node
	requestSize int64
}

// Work is the working directory of the command.
func (r *Room) Work() string { return r.work }

// Home is a folder that is private to the call.
func (r *Room) Home() string { return r.home }

// Temp is a folder that is private to the call.
func (r *Room) Temp() string { return r.temp }

// Request is the file that WriteRequest writes.
func (r *Room) Request() string { return filepath.Join(r.dir, requestName) }

// Prepare copies the source's entries that result patterns begin with, so that the
// command can write them.
func (r *Room) Prepare(patterns []string) error {
	r.use()
	for _, name := range r.source.begins(patterns) {
		path := filepath.Join(r.Work(), name)
		if _, err := os.Readlink(path); err != nil {
			continue // two patterns begin with it
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("copy source entry %q: %w", name, err)
		}
		if err := copyTree(r.source.links[name], path); err != nil {
			return fmt.Errorf("copy source entry %q: %w", name, err)
		}
	}
	return nil
}

// Create makes the file that an upload is kept in, under its cleaned name. It never
// replaces anything: a name that is taken, or none, is a *form.Fault.
func (r *Room) Create(sent string) (io.WriteCloser, string, error) {
	r.use()
	name, err := CleanName(sent)
	if err != nil {
		return nil, "", err
	}
	file, err := os.OpenFile(filepath.Join(r.Work(), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // the folder is private
	switch {
	case err == nil:
		return file, name, nil
	case !errors.Is(err, os.ErrExist):
		return nil, "", fmt.Errorf("keep file: %w", err)
	case r.source.Has(name):
		return nil, "", form.Faultf("the file %q is named like an entry of the function's source; rename it", clip(name))
	}
	return nil, "", form.Faultf("two files are named %q; rename one", clip(name))
}

// WriteRequest writes the file that describes the request.
func (r *Room) WriteRequest(b []byte) error {
	r.use()
	if _, err := r.request.WriteAt(b, 0); err != nil {
		return fmt.Errorf("write request file: %w", err)
	}
	if r.requestSize > int64(len(b)) {
		if err := r.request.Truncate(int64(len(b))); err != nil {
			return fmt.Errorf("write request file: %w", err)
		}
	}
	r.requestSize = int64(len(b))
	return nil
}

// Root opens the workspace to read what the command wrote, if it is still the one
// that the command was given.
func (r *Room) Root() (*os.Root, error) {
	var st unix.Stat_t
	if err := unix.Lstat(r.Work(), &st); err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	if st.Mode&0o700 != 0o700 && st.Ino == r.folders[1].node.ino {
		_ = unix.Fchmodat(unix.AT_FDCWD, r.Work(), 0o700, 0) // opening it will tell
	}
	root, err := os.OpenRoot(r.Work())
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	info, err := root.Stat(".")
	if err == nil {
		now, is := info.Sys().(*syscall.Stat_t)
		if made := r.folders[1].node; !is || now.Ino != made.ino || now.Dev != made.dev {
			err = errors.New("it is not the folder that the command was given")
		}
	}
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	return root, nil
}

// paths are the folders, as in r.folders.
func (r *Room) paths() [4]string {
	return [4]string{r.dir, r.work, r.home, r.temp}
}

// RemoveAll removes a tree whatever its modes and depth, or nothing if it is not
// there. The path must be absolute: one that was never set must not mean the
// current folder.
func RemoveAll(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
		return fmt.Errorf("remove %q: it is no absolute path of a folder that can go", path)
	}
	parent, err := unix.Open(filepath.Dir(path), openDir, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	defer func() { _ = unix.Close(parent) }()
	return removeAt(parent, filepath.Base(path))
}

// use notes that the call begins to do something.
func (r *Room) use() {
	if r.usedAt.IsZero() {
		r.usedAt = time.Now()
	}
}
