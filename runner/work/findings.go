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
	"davit/runner/workspace"
)

// smallResult is the size in bytes up to which a result is zipped before the answer is published: the answer is
// complete then, and its reader need not be woken again.
const smallResult = 64 << 10

// stdoutName is the name of stdout in a zip.
const stdoutName = "stdout"

// findings are the files of the result of one call, before they are zipped.
type findings struct {
	w     *Worker
	task  *task.Task
	root  *os.Root // nil: stdout is the result
	files []result.File
	out   *scratch.File // stdout, if it is the result
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

// find finds the files of the result in the workspace of a command that succeeded. It returns false if there is no
// result, and o then says why.
func (f *findings) find(o *task.Outcome, ws *workspace.Workspace) bool {
	err := f.search(ws)
	if err == nil {
		return true
	}
	f.close()
	if f.out != nil {
		f.out.Release()
	}
	f.fail(o, err)
	return false
}

// search finds the files of the result and decides whether the answer is a file or a zip.
func (f *findings) search(ws *workspace.Workspace) (err error) {
	if f.out != nil {
		f.out.Finish()
		if err := f.out.Err(); err != nil {
			return err
		}
		f.size = f.out.Size()
		f.files = []result.File{{Path: stdoutName, Size: f.size}}
		f.raw = f.task.Response == faas.ResponseFile || f.task.Response == faas.ResponseAuto
		return nil
	}
	if f.root, err = ws.Root(); err != nil {
		return &result.Error{Detail: "results: the command removed or replaced its working directory"}
	}
	if f.files, err = result.Collect(f.root, f.task.Results, int64(f.task.MaxResult)); err != nil {
		return err
	}
	for i := range f.files {
		f.size += f.files[i].Size
	}
	one := len(f.files) == 1
	if f.task.Response == faas.ResponseFile && !one {
		return &result.Error{Detail: fmt.Sprintf("the trigger answers with one file, and %d match its results; name one, or answer with a zip", len(f.files))}
	}
	f.raw = one && (f.task.Response == faas.ResponseFile || f.task.Response == faas.ResponseAuto)
	return nil
}

// fail removes the result from the outcome and fills in the reason.
func (f *findings) fail(o *task.Outcome, err error) {
	o.Result = nil
	why, is := errors.AsType[*result.Error](err)
	switch {
	case !is:
		f.w.log.Error("result cannot be kept", "invocation", f.task.Record.ID, "error", err)
		o.Reason, o.Detail = faas.ReasonResultTooLarge, "the runner cannot write the result to its disk, which may be full"
	case why.TooLarge:
		o.Reason, o.Detail = faas.ReasonResultTooLarge, why.Detail
	default:
		o.Reason, o.Detail = faas.ReasonResultMissing, why.Detail
	}
}

// open creates the files of the answer. There is a zip if the answer is one, or if the result is to be stored.
func (f *findings) open(stored bool) (resultFiles, error) {
	r := resultFiles{kind: kindZip, out: f.out}
	if f.raw {
		r.kind, r.filename = kindFile, path.Base(result.EntryName(f.files[0].Path))
		if f.out == nil {
			file, err := result.Open(f.root, &f.files[0])
			if err != nil {
				return r, err
			}
			r.raw, r.rawSize = file, f.files[0].Size
		}
	}
	if !f.raw || stored {
		f.zip = scratch.New(f.w.scratch)
		r.zip = f.zip
	}
	return r, nil
}

// describe returns the outcome's description of the result, without the zip.
func (f *findings) describe() *faas.Result {
	r := &faas.Result{FileCount: len(f.files)}
	for i := range f.files[:min(len(f.files), faas.MaxResultFiles)] {
		r.Files = append(r.Files, faas.ResultFile{Path: result.EntryName(f.files[i].Path), Size: f.files[i].Size})
	}
	return r
}

// writeZip zips the result and describes the zip in the outcome.
func (f *findings) writeZip(o *task.Outcome) {
	begun := f.w.now()
	err := f.fillZip()
	o.Phases.Zip = faas.Duration(f.w.now().Sub(begun))
	if err != nil {
		f.zip.Fail(err)
		f.fail(o, err)
		return
	}
	f.zip.Finish()
	described := *o.Result
	described.Size, described.SHA256 = f.zip.Size(), f.zip.SHA256()
	o.Result = &described
}

func (f *findings) fillZip() error {
	if f.out == nil {
		return f.w.zipper.Zip(f.zip, f.root, f.files)
	}
	from := f.out.Reader(f.w.life, 0)
	defer func() { _ = from.Close() }()
	return f.w.zipper.Stream(f.zip, stdoutName, f.size, f.at, from)
}
