package work

import (
	"encoding/hex"
	"hash"
	"io"
	"sync"

	"davit/internal/task"
	"davit/runner/scratch"
)

// Answer is an outcome and its result.
type Answer struct {
	Outcome  task.Outcome
	Kind     string // "zip" or "file"
	Filename string // with "file": its base name, without control characters and backslashes
	Body     *Body  // nil when Outcome.Reason is set
}

// Body is a result, which may be read while it is written. Read returns io.EOF only if the result is complete. The
// reader must close it.
type Body struct {
	from   io.Reader
	sum    hash.Hash // nil: of the file
	file   *scratch.File
	size   int64
	closer io.Closer // nil: there is nothing to close
	leave  func()    // the reader has left
	once   sync.Once
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.size += int64(n)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	return n, err
}

// AtEnd reports whether the next Read is certain to return io.EOF.
func (b *Body) AtEnd() bool {
	e, ok := b.from.(interface{ AtEnd() bool })
	return ok && e.AtEnd()
}

// Close ends the reading. It does not affect the call.
func (b *Body) Close() (err error) {
	b.once.Do(func() {
		if b.closer != nil {
			err = b.closer.Close()
		}
		b.leave()
	})
	return err
}

// Sum returns the size in bytes and the hex SHA-256 of the body. Both are valid only after Read has returned io.EOF.
func (b *Body) Sum() (size int64, hexSum string) {
	if b.sum == nil {
		return b.file.Size(), b.file.SHA256()
	}
	return b.size, hex.EncodeToString(b.sum.Sum(nil))
}

// exact returns io.ErrUnexpectedEOF at the end of a file that has become shorter.
type exact struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (e *exact) Read(p []byte) (int, error) {
	n, err := e.from.Read(p)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
