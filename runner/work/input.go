package work

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/form"
	"davit/runner/scratch"
	"davit/runner/transfer"
)

// errFetch says that the input cannot be read from the store.
var errFetch = errors.New("fetch input")

// input is what a caller sent. It is read from the body that a gateway posts, or fetched from the store before the
// command is started.
type input struct {
	task    *task.Task
	scratch string // the folder for its file
	form    *form.Input

	mu    sync.Mutex // Keep may read what fetch sets
	raw   sink       // nil: the input is still to be fetched
	sum   string
	fault error // the input is malformed; the call is committed all the same
}

// read reads the input to its end, even if the input is malformed.
func (in *input) read(body io.Reader) error {
	raw := in.newSink()
	in.set(raw, "", nil)
	from := &source{from: body, to: raw, most: int64(in.task.MaxBody)}
	fault, err := in.parse(from)
	if from.err == nil {
		_, _ = io.Copy(drain{}, from) // its error is in from.err
	}
	if from.err != nil && from.err != io.EOF { //nolint:errorlint // source does not wrap it
		return fmt.Errorf("read input: %w", from.err)
	}
	if err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	in.set(raw, raw.SHA256(), fault)
	if file, is := raw.(*scratch.File); is {
		file.Finish()
	}
	return nil
}

// newSink returns a file for the raw input, or, if the input is not to be stored, a sink that only counts and sums.
func (in *input) newSink() sink {
	if in.task.Put.Input == "" {
		return &digest{sum: sha256.New()}
	}
	return scratch.New(in.scratch)
}

// parse reads the request's fields and files. fault says that the input is malformed; err is any other error.
func (in *input) parse(body io.Reader) (fault, err error) {
	request := &in.task.Request
	err = in.form.AddPath(request.PathFields)
	if err == nil {
		err = in.form.AddQuery(request.Query)
	}
	if err == nil {
		err = in.form.ReadBody(body, request.ContentType, in.task.Fields)
	}
	if err == nil {
		err = in.form.Declare(in.task.Fields)
	}
	if _, is := errors.AsType[*form.Fault](err); is {
		return err, nil
	}
	return nil, err
}

// fetch downloads an input that is in the store and parses it into the workspace.
func (in *input) fetch(ctx context.Context, client *transfer.Client) error {
	var file *scratch.File
	err := client.Get(ctx, in.task.InputURL, func() io.Writer {
		if file != nil {
			file.Release()
		}
		file = scratch.New(in.scratch)
		return file
	})
	if file != nil {
		defer file.Release()
	}
	if err != nil {
		return errors.Join(errFetch, err)
	}
	file.Finish()
	got := fetched{size: file.Size(), sum: file.SHA256()}
	if want := in.task.Record.Input; want != nil && want.SHA256 != "" && want.SHA256 != got.sum {
		return errors.Join(errFetch, errors.New("its SHA-256 is not the record's"))
	}
	from := file.Reader(ctx, 0)
	defer func() { _ = from.Close() }()
	fault, err := in.parse(from)
	if err != nil {
		return err
	}
	in.set(got, got.sum, fault)
	return nil
}

func (in *input) set(raw sink, sum string, fault error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.raw, in.sum, in.fault = raw, sum, fault
}

// isMissing reports whether the input is still to be fetched.
func (in *input) isMissing() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.raw == nil
}

// check returns the fault of a malformed input.
func (in *input) check() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fault
}

// describe returns the record's description of the input.
func (in *input) describe() *faas.Input {
	in.mu.Lock()
	defer in.mu.Unlock()
	t := in.task
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

// toStore returns the file of the input; nil: the input is not to be stored, or is empty.
func (in *input) toStore() *scratch.File {
	in.mu.Lock()
	defer in.mu.Unlock()
	file, is := in.raw.(*scratch.File)
	if !is || in.task.Put.Input == "" || file.Size() == 0 {
		return nil
	}
	return file
}

func (in *input) release() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if file, is := in.raw.(*scratch.File); is {
		file.Release()
	}
}

// fetched describes an input that was fetched from the store.
type fetched struct {
	size int64
	sum  string
}

// Write implements sink. It writes nothing.
func (f fetched) Write(p []byte) (int, error) { return len(p), nil }

// Size returns the input's size in bytes.
func (f fetched) Size() int64 { return f.size }

// SHA256 returns the input's hex SHA-256.
func (f fetched) SHA256() string { return f.sum }
