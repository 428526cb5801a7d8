package hub

import "errors"

// The ways in which an invoke or a control call ends without an answer.
var (
	// ErrRefused says that the runner took nothing: it answered 409, or nothing
	// within a second. Body.Stream is unread: offer the call elsewhere.
	ErrRefused = errors.New("the runner refused the call")
	// ErrNotRun says that the call broke off before its commit: nothing ran or will.
	// Body.Stream may be partly read.
	ErrNotRun = errors.New("the call broke off before it was committed")
	// ErrInDoubt says that the connection broke, or ctx ended, after the commit: the
	// command runs or has run. Attach to learn its outcome.
	ErrInDoubt = errors.New("the connection broke after the call was committed")
	// ErrGone says that the runner no longer holds the invocation.
	ErrGone = errors.New("the runner no longer holds the invocation")
	// ErrAway says that no connected runner is known to hold the invocation, or that
	// its connection broke before it answered.
	ErrAway = errors.New("no connected runner holds the invocation")
)

// BodyError says that Body.Stream failed; nothing ran.
type BodyError struct{ Err error }

// Error returns the cause.
func (e *BodyError) Error() string { return "read the call's body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }
