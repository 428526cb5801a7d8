package work

import "errors"

// ErrTooLarge says that a body is larger than the task's MaxBody. Nothing ran.
var ErrTooLarge = errors.New("the body is larger than max_body")

// errCancelled is why a call's context ended.
var errCancelled = errors.New("cancelled")

// errClosed says that nothing is done any more.
var errClosed = errors.New("the worker is closed")

// ErrSlow says that a reader of events fell too far behind.
var ErrSlow = errors.New("events were not read in time")

// StartError says that the start process failed; the worker drains.
type StartError struct {
	Detail  string
	LogTail string
}

// Error returns the detail.
func (e *StartError) Error() string { return "start process: " + e.Detail }

// ErrBusy says that the worker takes no call now: no slot is free, it drains, it
// holds that invocation already, or it was launched for another. Nothing was taken.
var ErrBusy = errors.New("no free slot")
