package hub

import "errors"

// The errors of Invoke, Attach and the orders to runners.
var (
	// ErrRefused says that the runner did not take the call: it answered 409, or nothing within a second. Body.Stream
	// is unread: another runner may take the call.
	ErrRefused = errors.New("the runner refused the call")
	// ErrNotRun says that the call ended before its commit: its command did not run and will not. Body.Stream may be
	// partly read.
	ErrNotRun = errors.New("the call ended before it was committed")
	// ErrInDoubt says that the connection broke, or ctx ended, after the commit: the command runs or has run. Attach
	// returns its outcome.
	ErrInDoubt = errors.New("the connection broke after the call was committed")
	// ErrGone says that the runner no longer owns the invocation.
	ErrGone = errors.New("the runner no longer owns the invocation")
	// ErrAway says that no connected runner owns the invocation, or that the runner's connection broke before it
	// answered.
	ErrAway = errors.New("no connected runner owns the invocation")
)

// BodyError says that Body.Stream failed; nothing ran.
type BodyError struct{ Err error }

// Error returns the cause.
func (e *BodyError) Error() string { return "read the call's body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }
