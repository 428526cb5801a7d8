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

// The entries of a workspace.
const (
	workName    = "work"
	homeName    = "home"
	tempName    = "tmp"
	requestName = "request.json"
)

// Workspace is the workspace of one slot: the working directory, home, temp and the request file. It is for one call at
// a time.
type Workspace struct {
	dir, work, home, temp string

	source *Source

	folders     [4]folder // the workspace itself, work, home, temp
	usedAt      time.Time // when this call first used the workspace; zero: not yet
	request     *os.File
	requestNode node
	requestSize int64
}

// Work is the working directory of the command.
func (r *Workspace) Work() string { return r.work }

// Home is the command's home directory, private to the call.
func (r *Workspace) Home() string { return r.home }

// Temp is the command's directory for temporary files, private to the call.
func (r *Workspace) Temp() string { return r.temp }

// Request is the file that WriteRequest writes.
func (r *Workspace) Request() string { return filepath.Join(r.dir, requestName) }

// Prepare copies the source's entries that result patterns begin with, so that the command can write them.
func (r *Workspace) Prepare(patterns []string) error {
	r.use()
	for _, name := range r.source.begins(patterns) {
		path := filepath.Join(r.Work(), name)
		if _, err := os.Readlink(path); err != nil {
			continue // another pattern begins with it and it is copied
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

// Create makes the file of an upload under its cleaned name, and returns that name. It never replaces a file: a name
// that exists or is refused is a *form.Fault.
func (r *Workspace) Create(sent string) (io.WriteCloser, string, error) {
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
func (r *Workspace) WriteRequest(b []byte) error {
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

// Root opens the working directory to read what the command wrote. It is an error if the command has replaced the
// directory.
func (r *Workspace) Root() (*os.Root, error) {
	var st unix.Stat_t
	if err := unix.Lstat(r.Work(), &st); err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	if st.Mode&0o700 != 0o700 && st.Ino == r.folders[1].node.ino {
		_ = unix.Fchmodat(unix.AT_FDCWD, r.Work(), 0o700, 0) // if it fails, OpenRoot does
	}
	root, err := os.OpenRoot(r.Work())
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	info, err := root.Stat(".")
	if err == nil {
		now, is := info.Sys().(*syscall.Stat_t)
		if made := r.folders[1].node; !is || now.Ino != made.ino || now.Dev != made.dev {
			err = errors.New("the command has replaced the folder")
		}
	}
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	return root, nil
}

// paths returns the paths of r.folders, in their order.
func (r *Workspace) paths() [4]string {
	return [4]string{r.dir, r.work, r.home, r.temp}
}

// RemoveAll removes a tree of any mode and depth. It is no error if there is none. The path must be absolute, so that
// an empty one does not mean the current folder.
func RemoveAll(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
		return fmt.Errorf("remove %q: it is not an absolute path, or is the root", path)
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

// use records when the call first uses the workspace.
func (r *Workspace) use() {
	if r.usedAt.IsZero() {
		r.usedAt = time.Now()
	}
}
