package work

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"sync"

	"davit/internal/task"
	"davit/runner/scratch"
)

// The kinds of answers.
const (
	kindZip  = "zip"
	kindFile = "file"
)

// resultFiles are the files of an answer.
type resultFiles struct {
	zip      *scratch.File // for the store; also when the answer is a file
	out      *scratch.File // stdout, if it is the result
	raw      *os.File      // the only file, if it is the answer
	rawSize  int64
	kind     string
	filename string
}

// answers owns the outcome and the result of one call, and opens an Answer for each reader.
type answers struct {
	known chan struct{} // closed when the outcome is set

	mu       sync.Mutex
	outcome  *task.Outcome
	complete bool // the outcome is not changed any more, but by replace
	files    resultFiles
	released bool
}

// offer sets the files of the result, before the outcome is published.
func (a *answers) offer(files resultFiles) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files = files
}

// publish publishes an outcome whose result is still being zipped.
func (a *answers) publish(o *task.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcome = o
	close(a.known)
}

// finish publishes the complete outcome.
func (a *answers) finish(o *task.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.outcome == nil {
		defer close(a.known)
	}
	a.outcome, a.complete = o, true
}

// replace replaces a complete outcome by one that says what is stored.
func (a *answers) replace(o *task.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcome = o
}

// final returns the outcome if it is complete, else nil.
func (a *answers) final() *task.Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.complete {
		return nil
	}
	return a.outcome
}

// open waits for the outcome, until ctx or life ends, and opens the result. Close of the Answer's Body calls leave.
func (a *answers) open(ctx, life context.Context, leave func()) (*Answer, error) {
	select {
	case <-a.known:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-life.Done():
		return nil, os.ErrClosed
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return nil, os.ErrClosed
	}
	opened := &Answer{Outcome: *a.outcome}
	if opened.Outcome.Reason == "" {
		opened.Kind, opened.Filename = a.files.kind, a.files.filename
		opened.Body = a.files.open(ctx, leave)
	}
	return opened, nil
}

func (r *resultFiles) open(ctx context.Context, leave func()) *Body {
	file := r.out
	if r.kind == kindZip {
		file = r.zip
	}
	if file != nil {
		from := file.Reader(ctx, 0)
		return &Body{from: from, file: file, closer: from, leave: leave}
	}
	// The file stays open, because a call that has readers is not forgotten.
	from := &exact{from: io.NewSectionReader(r.raw, 0, r.rawSize), left: r.rawSize}
	return &Body{from: from, sum: sha256.New(), leave: leave}
}

// zip returns the zip of the result; nil: there is none.
func (a *answers) zip() *scratch.File {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.files.zip
}

// size returns how many bytes the files need.
func (a *answers) size() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	size := a.files.rawSize
	for _, file := range []*scratch.File{a.files.zip, a.files.out} {
		if file != nil {
			size += file.Size()
		}
	}
	return size
}

// release releases the files.
func (a *answers) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.released = true
	for _, f := range []*scratch.File{a.files.zip, a.files.out} {
		if f != nil {
			f.Release()
		}
	}
	if a.files.raw != nil {
		_ = a.files.raw.Close() // a Body still reads it only if the worker is closed, and then fails
	}
}
