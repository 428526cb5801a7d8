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

// Answer is an outcome and the result that goes with it.
type Answer struct {
	Outcome  task.Outcome
	Kind     string // "zip" or "file"
	Filename string // with "file": its base name, without control characters and backslashes
	Body     *Body  // nil when Outcome.Reason is set
}

// Body is a result as it grows. Read returns io.EOF only when it is whole. Close it.
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

// AtEnd reports whether the next Read returns io.EOF for sure.
func (b *Body) AtEnd() bool {
	e, ok := b.from.(interface{ AtEnd() bool })
	return ok && e.AtEnd()
}

// Close ends the reading. The call goes on.
func (b *Body) Close() error { return b.close() }

// Sum returns the size and the hex SHA-256 of the body. It is for after io.EOF.
func (b *Body) Sum() (size int64, hexSum string) {
	if b.sum == nil {
		return b.file.Size(), b.file.SHA256()
	}
	return b.size, hex.EncodeToString(b.sum.Sum(nil))
}

// Answer waits until the command has ended and returns its outcome, and the result
// as it grows. It may be asked for again, by several at a time, until the call is
// forgotten. A result that fails while it is zipped makes an outcome of its own: who
// reads it then gets an error, and who asks after it that outcome.
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

// addReader keeps the call from being forgotten until removeReader. The first is expected: a
// call is not forgotten before who posted it asked for its answer.
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

// open makes the answer of a call that has one.
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

// body opens the result; c.mu is held. Its Close calls removeReader.
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
	// The call is not forgotten, and so the file not closed, while it has readers.
	from := &exact{from: io.NewSectionReader(r.raw, 0, r.rawSize), left: r.rawSize}
	return &Body{from: from, sum: sha256.New(), close: func() error { return leave(nil) }}
}

// exact fails at the end of a file that has become shorter.
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
