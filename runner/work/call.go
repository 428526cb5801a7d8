package work

import (
	"context"
	"errors"
	"io"

	"davit/internal/task"
)

// ErrTooLarge says that a body is larger than the task's MaxBody. Nothing ran.
var ErrTooLarge = errors.New("the body is larger than max_body")

// Call is one invocation on this runner.
type Call struct{}

// Accept reads the task and the input from body to its end, which is the commit,
// and starts the command in the background. When it returns an error (the body was
// cut, is no task, is too large, or ctx ended), nothing ran and the slot is free
// again. An input that is whole but malformed is no error: its outcome tells.
func (c *Call) Accept(_ context.Context, _ io.Reader) error { return nil }

// Answer waits until the command has ended and returns its outcome, and the result
// as it grows. It may be asked for again, by several at a time.
func (c *Call) Answer(_ context.Context) (*Answer, error) { return nil, nil }

// Log returns the log from that byte on and follows it until the call has ended.
// From beyond its end gives nothing. Close it.
func (c *Call) Log(_ context.Context, _ int64) (io.ReadCloser, error) { return nil, nil }

// Cancel ends the command: SIGTERM now, SIGKILL 10 s later. The outcome is then
// cancelled, unless the command had ended before.
func (c *Call) Cancel() {}

// Keep makes the call kept as task.MustKeep does: its input is stored at once and
// its result when it has ended.
func (c *Call) Keep() {}

// Ack says that a gateway has settled the outcome. When the uploads are done, too,
// the call is forgotten. Before the outcome is complete it does nothing.
func (c *Call) Ack() {}

// Abandon gives the slot of a call back that was not accepted. After Accept it does nothing.
func (c *Call) Abandon() {}

// Answer is an outcome and the result that goes with it.
type Answer struct {
	Outcome  task.Outcome
	Kind     string        // "zip" or "file"
	Filename string        // with "file": its base name
	Body     io.ReadCloser // the result; empty when Outcome.Reason is set. EOF only when it is whole; close it
}

// SHA256 returns the hex sum of the body that was read, once Body returned io.EOF.
func (a *Answer) SHA256() string { return "" }

// Size returns the bytes of the body that were read.
func (a *Answer) Size() int64 { return 0 }
