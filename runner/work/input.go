package work

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/form"
	"davit/runner/scratch"
)

type limited struct {
	io.Reader
	io.Closer
}

func (in *input) release() {
	if file, is := in.raw.(*scratch.File); is {
		file.Release()
	}
}

// describe returns what the record says of the input.
func (in *input) describe(t *task.Task) *faas.Input {
	if in.raw == nil {
		known := faas.Input{ContentType: t.Request.ContentType}
		if t.Record.Input != nil {
			known = *t.Record.Input
		}
		known.Stored = true
		return &known
	}
	return &faas.Input{
		Size: in.raw.Size(), SHA256: in.sum, ContentType: t.Request.ContentType,
		Stored: in.raw.Size() == 0 || t.InputURL != "" || t.Put.Input == "" && t.Record.Input != nil && t.Record.Input.Stored,
	}
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

// newSink returns a place to keep the raw input in, or, where it is not to be stored,
// one that only counts it.
func (c *Call) newSink() sink {
	if c.task.Put.Input == "" {
		return &digest{sum: sha256.New()}
	}
	return scratch.New(c.w.scratch)
}
