package dispatch

import (
	"errors"
	"time"

	"davit/internal/faas"
)

const lostAgain = 5 * time.Second // when a part of Davit that is unavailable is worth another try

// failed is the error for the caller of an invocation that did not succeed.
func failed(inv *faas.Invocation, logTail string) *faas.Error {
	reason := *inv.Reason
	e := &faas.Error{Kind: reason.Kind(), Detail: reason.Advice(), Invocation: inv, LogTail: logTail}
	if inv.Detail != "" {
		e.Detail = inv.Detail + ". " + e.Detail
	}
	if e.Kind == faas.Unavailable {
		e.RetryAfter = lostAgain
	}
	return e
}

// failedUnheard is the error for the caller of a call that ended without an answer from its runner.
func failedUnheard(c *call) error {
	inv := c.snapshot()
	if !inv.State.Final() { // at the dispatcher's end, every call counts as decided
		e := faas.UnavailableError("the gateway is stopping", time.Second, nil)
		e.Invocation = inv
		return e
	}
	if inv.Reason == nil {
		e := faas.UnavailableError("the command succeeded, but the connection to its result was lost; fetch it by id", time.Second, nil)
		e.Invocation = inv
		return e
	}
	return failed(inv, c.logTail())
}

// notRun is the error for the caller of a call that never ran and that nobody else knows of.
func notRun(err error) error {
	if e, ok := errors.AsType[*faas.Error](err); ok {
		return e
	}
	return faas.UnavailableError("the gateway cannot run this now", time.Second, err)
}

// badBody is the error for a caller whose request body could not be read.
func badBody(err error) error {
	if e, ok := errors.AsType[*faas.Error](err); ok {
		return e
	}
	return &faas.Error{Kind: faas.Invalid, Detail: "the request body ended before it was whole", Err: err}
}

func shuttingDown() error {
	return faas.UnavailableError("this gateway is shutting down", time.Second, nil)
}

// launchError is the launcher's own error, or says that no runner could be started.
func launchError(err error) *faas.Error {
	return faas.OrUnavailable(err, "no runner could be started", lostAgain)
}
