package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"davit/internal/task"
	"davit/runner/form"
	"davit/runner/scratch"
)

// receive reads the task and its input. Its errors are the body's or the disk's;
// what is wrong with an input that came whole is kept for the outcome.
func (c *Call) receive(ctx context.Context, body io.Reader) error {
	body = &patient{ctx: ctx, life: c.life, from: body}
	t, err := task.ReadTask(body)
	if err != nil {
		return err
	}
	if t.Record.ID != c.id {
		return fmt.Errorf("read task: it is for %q, the slot was taken for %q", t.Record.ID, c.id)
	}
	c.task = t
	c.log = scratch.NewLossy(c.w.scratch)
	c.input = &input{form: form.New(c.slot.room)}
	if t.InputURL == "" {
		return c.readInput(body)
	}
	switch n, err := io.CopyN(io.Discard, body, 1); {
	case n != 0:
		return errors.New("read input: none was to follow the task")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read input: %w", err)
	}
	return nil
}

// readInput reads the input to its end, whatever is wrong with it.
func (c *Call) readInput(body io.Reader) error {
	c.input.raw = c.newSink()
	from := &source{from: body, to: c.input.raw, most: int64(c.task.MaxBody)}
	fault, err := c.parse(from)
	if from.err == nil {
		_, _ = io.Copy(drain{}, from) // from.err tells
	}
	if from.err != nil && from.err != io.EOF { //nolint:errorlint // source keeps it bare
		return fmt.Errorf("read input: %w", from.err)
	}
	if err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	c.input.fault = fault
	c.input.sum = c.input.raw.SHA256()
	if file, is := c.input.raw.(*scratch.File); is {
		file.Finish()
	}
	return nil
}

// parse makes fields and files of the request, and tells faults from other errors.
func (c *Call) parse(body io.Reader) (fault, err error) {
	in, request := c.input.form, &c.task.Request
	err = in.AddPath(request.PathFields)
	if err == nil {
		err = in.AddQuery(request.Query)
	}
	if err == nil {
		err = in.ReadBody(body, request.ContentType, c.task.Fields)
	}
	if err == nil {
		err = in.Declare(c.task.Fields)
	}
	if _, is := errors.AsType[*form.Fault](err); is {
		return err, nil
	}
	return nil, err
}

// sink takes the raw input.
type sink interface {
	io.Writer
	Size() int64
	SHA256() string
}

// newSink returns a place to keep the raw input in, or, where it is not to be stored,
// one that only counts it.
func (c *Call) newSink() sink {
	if c.task.Put.Input == "" {
		return &digest{sum: sha256.New()}
	}
	return scratch.New(c.w.scratch)
}

type digest struct {
	sum  hash.Hash
	size int64
}

// Write implements io.Writer.
func (d *digest) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	return d.sum.Write(p)
}

// Size returns how many bytes there were.
func (d *digest) Size() int64 { return d.size }

// SHA256 returns their sum.
func (d *digest) SHA256() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// source reads a body, keeps what it reads, and remembers how it ended.
type source struct {
	from io.Reader
	to   io.Writer
	most int64 // 0: any number
	size int64
	err  error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.from.Read(p)
	s.size += int64(n)
	if s.most > 0 && s.size > s.most {
		s.err = ErrTooLarge
		return 0, s.err
	}
	if _, werr := s.to.Write(p[:n]); werr != nil {
		s.err = werr
		return 0, s.err
	}
	s.err = err
	return n, err
}

// patient ends a body whose reader has no time left.
type patient struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to be given one
	life context.Context //nolint:containedctx // as above
	from io.Reader
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	for _, ctx := range []context.Context{p.ctx, p.life} {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	return p.from.Read(b)
}

// drain takes what is left of a body in large pieces.
type drain struct{}

// Write implements io.Writer.
func (drain) Write(p []byte) (int, error) { return len(p), nil }
