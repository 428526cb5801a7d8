package work

import "errors"

// ErrTooLarge says that a body is larger than the task's MaxBody. No command ran.
var ErrTooLarge = errors.New("the body is larger than max_body")

// errCancelled is the cause of a call's context that Cancel ended.
var errCancelled = errors.New("cancelled")

// errClosed says that the worker is closed and starts nothing more.
var errClosed = errors.New("the worker is closed")

// ErrSlow says that a reader of events left more than 4096 events unread.
var ErrSlow = errors.New("events were not read in time")

// StartError says that the start process failed; the worker drains.
type StartError struct {
	Detail  string
	LogTail string
}

// Error returns the detail.
func (e *StartError) Error() string { return "start process: " + e.Detail }

// ErrBusy says that the worker takes no call now: no slot is free, the worker drains, it owns that invocation already,
// or it was launched for another invocation.
var ErrBusy = errors.New("no free slot")
