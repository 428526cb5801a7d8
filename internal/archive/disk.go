package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const copyBytes = 128 << 10

// destination is the destination of an archive's entries. It receives a directory before the entries in it.
type destination interface {
	dir(name string) error
	file(name string, h *fileHeader, r io.Reader) error
	link(old, name string) error
	symlink(target, name string) error
}

// fileHeader is the size, mode and time of a file.
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

// disk is a folder. No link in it makes an entry leave the folder.
type disk struct {
	root   *os.Root
	buffer []byte
}

// writeError marks an error of the disk, so that it differs from an error of the archive.
type writeError struct{ error }

// Unwrap returns the error of the disk.
func (e writeError) Unwrap() error { return e.error }

func asWriteError(err error) error {
	if err == nil {
		return nil
	}
	return writeError{err}
}

// dir and file set the mode again after the creation, because the umask removes bits from the mode.

func (d *disk) dir(name string) error {
	if err := d.root.Mkdir(name, 0o755); err != nil {
		return asWriteError(err)
	}
	return asWriteError(d.root.Chmod(name, 0o755))
}

func (d *disk) file(name string, h *fileHeader, r io.Reader) error {
	mode := h.mode()
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return asWriteError(err)
	}
	err = copyTo(f, r, d.buffer)
	if err == nil {
		err = asWriteError(f.Chmod(mode))
	}
	if err := errors.Join(err, asWriteError(f.Close())); err != nil {
		return err
	}
	return asWriteError(d.root.Chtimes(name, h.modified, h.modified))
}

func (d *disk) link(old, name string) error { return asWriteError(d.root.Link(old, name)) }

func (d *disk) symlink(target, name string) error { return asWriteError(d.root.Symlink(target, name)) }

// discard is a destination that reads entries and writes nothing.
type discard struct{ buffer []byte }

func (discard) dir(string) error             { return nil }
func (discard) link(string, string) error    { return nil }
func (discard) symlink(string, string) error { return nil }

func (p discard) file(_ string, _ *fileHeader, r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, p.buffer)
	return err
}

// isEnd reports whether err is io.EOF itself, and not an error that wraps io.EOF.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // an error that wraps io.EOF is no end

// modTime returns t, or 1970 if not every file system can store t.
func modTime(t time.Time) time.Time {
	if t.Unix() < 0 || t.Unix() > 1<<32 {
		return time.Unix(0, 0)
	}
	return t
}

func wrap(err error) error { return fmt.Errorf("unpack an archive: %w", err) }
