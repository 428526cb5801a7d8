package work

import (
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/result"
	"davit/runner/scratch"
)

// smallResult is the size in bytes up to which a result is zipped before the answer is
// published: the answer is complete then, and its reader need not be woken again.
const smallResult = 64 << 10

// stdoutName is the name of stdout in a zip.
const stdoutName = "stdout"

// findings are the files of a result before they are zipped.
type findings struct {
	root  *os.Root // nil: stdout is the result
	files []result.File
	out   *scratch.File
	at    time.Time
	size  int64
	raw   bool // the answer is the one file
	zip   *scratch.File
}

func (f *findings) close() {
	if f.root != nil {
		_ = f.root.Close()
	}
}

// find returns the result of a command that succeeded. Nil: there is no result, and o
// says why.
func (c *Call) find(o *task.Outcome, out *scratch.File) *findings {
	f, err := c.search(out)
	if err == nil {
		return f
	}
	if f != nil {
		f.close()
	}
	if out != nil {
		out.Release()
	}
	c.failResult(o, err)
	return nil
}

// search finds the files of the result and decides whether the answer is a file or a zip.
func (c *Call) search(out *scratch.File) (*findings, error) {
	f := &findings{out: out, at: c.w.now()}
	if out != nil {
		out.Finish()
		if err := out.Err(); err != nil {
			return f, err
		}
		f.size = out.Size()
		f.files = []result.File{{Path: stdoutName, Size: f.size}}
		f.raw = c.task.Response == faas.ResponseFile || c.task.Response == faas.ResponseAuto
		return f, nil
	}
	var err error
	if f.root, err = c.slot.room.Root(); err != nil {
		return f, &result.Error{Detail: "results: the command removed or replaced its working directory"}
	}
	if f.files, err = result.Collect(f.root, c.task.Results, int64(c.task.MaxResult)); err != nil {
		return f, err
	}
	for i := range f.files {
		f.size += f.files[i].Size
	}
	one := len(f.files) == 1
	if c.task.Response == faas.ResponseFile && !one {
		return f, &result.Error{Detail: fmt.Sprintf("the trigger answers with one file, and %d match its results; name one, or answer with a zip", len(f.files))}
	}
	f.raw = one && (c.task.Response == faas.ResponseFile || c.task.Response == faas.ResponseAuto)
	return f, nil
}

// failResult removes the result from the outcome and fills in the reason.
func (c *Call) failResult(o *task.Outcome, err error) {
	o.Result = nil
	why, is := errors.AsType[*result.Error](err)
	switch {
	case !is:
		c.w.log.Error("result cannot be kept", "invocation", c.id, "error", err)
		o.Reason, o.Detail = faas.ReasonResultTooLarge, "the runner has no room for the result on its disk"
	case why.TooLarge:
		o.Reason, o.Detail = faas.ReasonResultTooLarge, why.Detail
	default:
		o.Reason, o.Detail = faas.ReasonResultMissing, why.Detail
	}
}

// conclude zips the result, publishes the outcome to Answer and returns it complete. For
// a result above smallResult it publishes the outcome before zipping, so that the zip is
// read while it is written.
func (c *Call) conclude(o *task.Outcome, f *findings) *task.Outcome {
	if f != nil {
		defer f.close()
		if err := c.offer(o, f); err != nil {
			c.failResult(o, err)
			f = nil
		}
	}
	c.logTail(o)
	c.log.Finish()
	o.Phases.Input = c.copyRecord().Phases.Input
	o.Input = c.input.describe(c.task)
	c.w.toClean()
	if f != nil && f.size > smallResult {
		c.reply(o)
		later := *o
		o = &later
	}
	if f != nil && f.zip != nil {
		c.zip(o, f)
	}
	c.complete(o)
	return o
}

// offer creates the files of the answer and describes the result in the outcome.
func (c *Call) offer(o *task.Outcome, f *findings) error {
	r := resultFiles{kind: kindZip, out: f.out}
	if f.raw {
		r.kind, r.filename = kindFile, path.Base(result.EntryName(f.files[0].Path))
		if f.out == nil {
			file, err := result.Open(f.root, &f.files[0])
			if err != nil {
				return err
			}
			r.raw, r.rawSize = file, f.files[0].Size
		}
	}
	if !f.raw || c.kept(o) && c.task.Put.Result != "" {
		f.zip = scratch.New(c.w.scratch)
		r.zip = f.zip
	}
	o.Result = &faas.Result{FileCount: len(f.files)}
	for i := range f.files[:min(len(f.files), faas.MaxResultFiles)] {
		o.Result.Files = append(o.Result.Files, faas.ResultFile{Path: result.EntryName(f.files[i].Path), Size: f.files[i].Size})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = r
	return nil
}

// zip zips the result and describes the zip in the outcome.
func (c *Call) zip(o *task.Outcome, f *findings) {
	begun := c.w.now()
	err := c.writeZip(f)
	o.Phases.Zip = faas.Duration(c.w.now().Sub(begun))
	if err != nil {
		f.zip.Fail(err)
		c.failResult(o, err)
		c.logTail(o)
		return
	}
	f.zip.Finish()
	described := *o.Result
	described.Size, described.SHA256 = f.zip.Size(), f.zip.SHA256()
	o.Result = &described
}

func (c *Call) writeZip(f *findings) error {
	if f.out == nil {
		return c.w.zipper.Zip(f.zip, f.root, f.files)
	}
	from := f.out.Reader(c.w.life, 0)
	defer func() { _ = from.Close() }()
	return c.w.zipper.Stream(f.zip, stdoutName, f.size, f.at, from)
}

// reply publishes an outcome whose result is still being zipped.
func (c *Call) reply(o *task.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcome = o
	close(c.answered)
}

// complete publishes the complete outcome.
func (c *Call) complete(o *task.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcome == nil {
		defer close(c.answered)
	}
	c.outcome, c.ended = o, true
}
