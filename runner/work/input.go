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

// describe returns the record's description of the input.
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

// readInput reads the input to its end, even if the input is malformed.
func (c *Call) readInput(body io.Reader) error {
	c.input.raw = c.newSink()
	from := &source{from: body, to: c.input.raw, most: int64(c.task.MaxBody)}
	fault, err := c.parse(from)
	if from.err == nil {
		_, _ = io.Copy(drain{}, from) // its error is in from.err
	}
	if from.err != nil && from.err != io.EOF { //nolint:errorlint // source does not wrap it
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

// parse reads the request's fields and files. fault says that the input is malformed;
// err is any other error.
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

// newSink returns a file for the raw input, or, if the input is not to be stored, a sink
// that only counts and sums.
func (c *Call) newSink() sink {
	if c.task.Put.Input == "" {
		return &digest{sum: sha256.New()}
	}
	return scratch.New(c.w.scratch)
}
