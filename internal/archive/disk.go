package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const copyBytes = 128 << 10

// place is where entries go. Parents are there before what is in them.
type place interface {
	dir(name string) error
	file(name string, h *fileHeader, r io.Reader) error
	link(old, name string) error
	symlink(target, name string) error
}

// fileHeader is what is kept of a file beside its name.
type fileHeader struct {
	size       int64
	executable bool
	modified   time.Time
}

func (h *fileHeader) mode() os.FileMode {
	if h.executable {
		return 0o755
	}
	return 0o644
}

// disk is a folder that entries cannot leave, whatever links there are.
type disk struct {
	root   *os.Root
	buffer []byte
}

// writeError is a failure of the disk, told so from one of the archive.
type writeError struct{ error }

// Unwrap gives the cause.
func (e writeError) Unwrap() error { return e.error }

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return writeError{err}
}

// Modes are set apart from making: what they are made with is cut by the umask.

func (d *disk) dir(name string) error {
	if err := d.root.Mkdir(name, 0o755); err != nil {
		return onDisk(err)
	}
	return onDisk(d.root.Chmod(name, 0o755))
}

func (d *disk) file(name string, h *fileHeader, r io.Reader) error {
	mode := h.mode()
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return onDisk(err)
	}
	err = pour(f, r, d.buffer)
	if err == nil {
		err = onDisk(f.Chmod(mode))
	}
	if err := errors.Join(err, onDisk(f.Close())); err != nil {
		return err
	}
	return onDisk(d.root.Chtimes(name, h.modified, h.modified))
}

func (d *disk) link(old, name string) error { return onDisk(d.root.Link(old, name)) }

func (d *disk) symlink(target, name string) error { return onDisk(d.root.Symlink(target, name)) }

// nowhere takes entries and keeps nothing.
type nowhere struct{ buffer []byte }

func (nowhere) dir(string) error             { return nil }
func (nowhere) link(string, string) error    { return nil }
func (nowhere) symlink(string, string) error { return nil }

func (p nowhere) file(_ string, _ *fileHeader, r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, p.buffer)
	return err
}

// isEnd tells the end of a stream from an error that only wraps one.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // the end is this very value

// modTime keeps to what every file system can hold.
func modTime(t time.Time) time.Time {
	if t.Unix() < 0 || t.Unix() > 1<<32 {
		return time.Unix(0, 0)
	}
	return t
}

func wrap(err error) error { return fmt.Errorf("unpack an archive: %w", err) }
