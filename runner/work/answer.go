package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"
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

// Body is a result, which may be read while it is written. Read returns io.EOF only if
// the result is complete. The reader must close it.
type Body struct {
	from  io.Reader
	sum   hash.Hash // nil: of the file
	file  *scratch.File
	size  int64
	close func() error
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
func (b *Body) Close() error { return b.close() }

// Sum returns the size in bytes and the hex SHA-256 of the body. Both are valid only
// after Read has returned io.EOF.
func (b *Body) Sum() (size int64, hexSum string) {
	if b.sum == nil {
		return b.file.Size(), b.file.SHA256()
	}
	return b.size, hex.EncodeToString(b.sum.Sum(nil))
}

// Answer waits until the command has ended and returns its outcome and its result; the
// result may still be written while it is read. Answer may be called several times, also
// concurrently, until the call is forgotten. If zipping the result fails, the outcome
// changes: a Body that is being read returns an error, and a later Answer returns the
// new outcome.
func (c *Call) Answer(ctx context.Context) (*Answer, error) {
	c.addReader()
	var err error
	select {
	case <-c.answered:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-c.w.life.Done():
		err = os.ErrClosed
	}
	var a *Answer
	if err == nil {
		a, err = c.open(ctx)
	}
	if a == nil || a.Body == nil {
		c.removeReader()
	}
	return a, err
}

// addReader keeps the call from being forgotten until removeReader. commit counts the
// first reader ahead, so that the call is not forgotten before the gateway that posted it
// has asked for the answer.
func (c *Call) addReader() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expected {
		c.expected = false
		return
	}
	c.readers++
}

func (c *Call) removeReader() {
	c.mu.Lock()
	c.readers--
	c.mu.Unlock()
	c.settle()
}

// open returns the answer of a call whose outcome is known.
func (c *Call) open(ctx context.Context) (*Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.givenUp {
		return nil, os.ErrClosed
	}
	a := &Answer{Outcome: *c.outcome}
	if a.Outcome.Reason == "" {
		a.Kind, a.Filename = c.answer.kind, c.answer.filename
		a.Body = c.body(ctx)
	}
	return a, nil
}

// body opens the result. Its Close calls removeReader. The caller holds c.mu.
func (c *Call) body(ctx context.Context) *Body {
	var once sync.Once
	leave := func(last error) (err error) {
		once.Do(func() {
			c.removeReader()
			err = last
		})
		return err
	}
	r := &c.answer
	switch {
	case r.kind == kindZip:
		from := r.zip.Reader(ctx, 0)
		return &Body{from: from, file: r.zip, close: func() error { return leave(from.Close()) }}
	case r.out != nil:
		from := r.out.Reader(ctx, 0)
		return &Body{from: from, file: r.out, close: func() error { return leave(from.Close()) }}
	}
	// The file stays open, because a call that has readers is not forgotten.
	from := &exact{from: io.NewSectionReader(r.raw, 0, r.rawSize), left: r.rawSize}
	return &Body{from: from, sum: sha256.New(), close: func() error { return leave(nil) }}
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
	if err == io.EOF && e.left > 0 { //nolint:errorlint // returned bare
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
