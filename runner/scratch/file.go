// Package scratch has files that may be read while they are written: an input as it arrives, a log, a result as it is
// zipped. Up to 64 KiB stay in memory; a larger File is written to a file without a name, so that a command has no path
// to it. Start at File.
package scratch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"davit/internal/signal"
)

// MemoryBytes is the size up to which a File stays in memory.
const MemoryBytes = 64 << 10

// File is a sequence of bytes with one writer and any number of readers, which may start before the writer has
// finished.
type File struct {
	dir   string
	lossy bool
	lost  bool

	changed signal.Broadcast // sent when there are more bytes, or no more to come

	mu    sync.Mutex
	mem   []byte // all bytes, until disk is set
	disk  *os.File
	size  int64
	sum   hash.Hash // of the bytes on disk
	end   error     // nil while the File grows, io.EOF after Finish, else why the File failed
	users int       // the owner and the readers
}

// New returns an empty File that spills into the folder dir. The owner must call Release.
func New(dir string) *File { return &File{dir: dir, users: 1} }

// NewLossy returns a File that does not fail: after an error of the disk it drops all further bytes. It is for a log,
// because a lost log must not fail the call.
func NewLossy(dir string) *File { return &File{dir: dir, users: 1, lossy: true} }

// Write appends p. It must not be called concurrently. After an error, for example because the disk is full, the File
// has failed.
func (f *File) Write(p []byte) (int, error) {
	if len(p) == 0 || f.lost {
		return len(p), nil
	}
	f.mu.Lock()
	if f.disk == nil && len(f.mem)+len(p) <= MemoryBytes {
		defer f.mu.Unlock()
		f.mem = append(f.mem, p...)
		f.grown(len(p))
		return len(p), nil
	}
	f.mu.Unlock()
	err := f.writeDisk(p)
	switch {
	case err == nil:
	case f.lossy:
		f.lost = true
	default:
		f.finish(err)
		return 0, err
	}
	return len(p), nil
}

func (f *File) writeDisk(p []byte) error {
	if f.disk == nil {
		if err := f.spill(); err != nil {
			return fmt.Errorf("open scratch file: %w", err)
		}
	}
	if _, err := f.disk.Write(p); err != nil {
		return fmt.Errorf("write scratch file: %w", err)
	}
	f.sum.Write(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grown(len(p))
	return nil
}

// spill moves the bytes in memory to disk.
func (f *File) spill() error {
	disk, err := openUnnamed(f.dir)
	if err != nil {
		return err
	}
	if _, err := disk.Write(f.mem); err != nil {
		_ = disk.Close()
		return err
	}
	f.sum = sha256.New()
	f.sum.Write(f.mem)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disk, f.mem = disk, nil
	return nil
}

// openUnnamed opens a file without a name. If the file system does not support that, it creates a file and removes its
// name at once.
func openUnnamed(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), "scratch"), nil
	}
	file, err := os.CreateTemp(dir, "scratch-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// grown counts n new bytes and wakes the readers. The caller holds f.mu.
func (f *File) grown(n int) {
	f.size += int64(n)
	f.changed.Send()
}

// Finish ends the File: readers get io.EOF at its end.
func (f *File) Finish() { f.finish(io.EOF) }

// Fail ends the File with an error: readers get err after the bytes so far.
func (f *File) Fail(err error) { f.finish(err) }

func (f *File) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end == nil {
		f.end = err
		f.changed.Send()
	}
}

// Err returns why the File failed; nil while it grows and after Finish.
func (f *File) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end == io.EOF { //nolint:errorlint // set by Finish, never wrapped
		return nil
	}
	return f.end
}

// Size returns the number of bytes written so far.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// SHA256 returns the hex SHA-256 of the bytes. It may be called only after Finish.
func (f *File) SHA256() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil {
		sum := sha256.Sum256(f.mem)
		return hex.EncodeToString(sum[:])
	}
	return hex.EncodeToString(f.sum.Sum(nil))
}

// Tail returns the last n bytes, or all if there are fewer.
func (f *File) Tail(n int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := max(f.size-int64(n), 0)
	b := make([]byte, f.size-from)
	k, _ := f.readAt(b, from)
	return b[:k]
}

// readAt reads the bytes at off that were written so far. The caller holds f.mu.
func (f *File) readAt(p []byte, off int64) (int, error) {
	if f.disk == nil {
		return copy(p, f.mem[off:]), nil
	}
	if most := f.size - off; int64(len(p)) > most {
		p = p[:most]
	}
	n, err := f.disk.ReadAt(p, off)
	if n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("read scratch file: %w", err)
}

// Release ends the owner's use. The bytes are freed when all readers have closed, too.
func (f *File) Release() { f.leave() }

func (f *File) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users--
	if f.users > 0 {
		return
	}
	f.mem = nil
	if f.disk != nil {
		_ = f.disk.Close()
	}
}

// Reader returns a reader of the bytes from off on. At the end of the bytes it waits for more until the File is
// finished, ctx ends or the reader is closed. If off is beyond the end of a finished File, Read returns io.EOF. Reader
// must not be called after Release.
func (f *File) Reader(ctx context.Context, off int64) *Reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users++
	return &Reader{ctx: ctx, file: f, off: max(off, 0), closed: make(chan struct{})}
}

// Reader reads a File, also while it is written. Read must not be called concurrently; Close may be called at any time.
type Reader struct {
	ctx    context.Context //nolint:containedctx // an io.Reader has no other way to be given one
	file   *File
	off    int64
	once   sync.Once
	closed chan struct{}
}

// Read returns the next bytes, and waits until there are any.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		n, more, err := r.next(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		select {
		case <-more:
		case <-r.closed:
			return 0, os.ErrClosed
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

// next reads bytes that were written already, or returns a channel that is closed when there are more.
func (r *Reader) next(p []byte) (int, <-chan struct{}, error) {
	f := r.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.isClosed() {
		return 0, nil, os.ErrClosed
	}
	if r.off < f.size {
		n, err := f.readAt(p, r.off)
		r.off += int64(n)
		return n, nil, err
	}
	if f.end != nil {
		return 0, nil, f.end
	}
	return 0, f.changed.C(), nil
}

// AtEnd reports whether the File is finished and all of its bytes were read.
func (r *Reader) AtEnd() bool {
	f := r.file
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end == io.EOF && r.off >= f.size //nolint:errorlint // set by Finish, never wrapped
}

func (r *Reader) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// Close closes the reader. A Read that waits returns os.ErrClosed.
func (r *Reader) Close() error {
	r.once.Do(func() {
		close(r.closed)
		r.file.leave()
	})
	return nil
}
