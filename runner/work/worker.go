package work

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"davit/gateway/faas"
	"davit/internal/task"
)

// ErrBusy says that the worker takes no call now: no slot is free, it drains, it
// holds that invocation already, or it was launched for another. Nothing was taken.
var ErrBusy = errors.New("no free slot")

// Options are what a Worker needs beside its launch.
type Options struct {
	Log  *slog.Logger     // nil: discarded
	HTTP *http.Client     // for the signed URLs; nil: one with sensible timeouts
	Now  func() time.Time // nil: time.Now
}

// Worker has the slots of one runner. Its methods may be called at the same time.
type Worker struct {
	launch task.Launch
}

// New makes the folders below launch.Dir and starts the start process, if there
// is one. Calls may be taken at once: they wait until the start process is ready.
func New(launch task.Launch, _ Options) (*Worker, error) {
	return &Worker{launch: launch}, nil
}

// Ready waits until calls can run: the start process is ready or has done its
// set-up. Its error is a *StartError; the worker then drains.
func (w *Worker) Ready(_ context.Context) error { return nil }

// Take takes a slot for an invocation, or returns ErrBusy. While a slot is being
// cleaned it waits for it, for at most half a second. A call that was taken is
// then accepted or abandoned.
func (w *Worker) Take(_ faas.InvocationID) (*Call, error) { return nil, ErrBusy }

// Find returns the call that holds an invocation, until it is forgotten.
func (w *Worker) Find(_ faas.InvocationID) (*Call, bool) { return nil, false }

// Held returns what the worker has accepted and no gateway has acknowledged.
func (w *Worker) Held() []task.Held { return nil }

// Free returns how many slots a Take would find.
func (w *Worker) Free() int { return 0 }

// Drain takes no more calls; those that are taken go on.
func (w *Worker) Drain(_ string) {}

// Done is closed when the worker drains and holds nothing more: the program may end.
func (w *Worker) Done() <-chan struct{} { return nil }

// Close ends everything at once: commands and start process are killed, uploads
// given up, workspaces removed. It returns when all of it is gone.
func (w *Worker) Close() error { return nil }

// Events calls tell with an EventSlots first and then with each event in order,
// until ctx ends or tell fails. A reader that falls far behind gets ErrSlow and
// is to attach again.
func (w *Worker) Events(_ context.Context, _ func(task.Event) error) error { return nil }

// ErrSlow says that a reader of events fell too far behind.
var ErrSlow = errors.New("events were not read in time")

// StartError says that the start process failed; the worker drains.
type StartError struct {
	Detail  string
	LogTail string
}

// Error returns the detail.
func (e *StartError) Error() string { return "start process: " + e.Detail }
