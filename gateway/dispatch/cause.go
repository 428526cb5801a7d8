package dispatch

import (
	"errors"

	"davit/internal/faas"
)

// Causes for which a call stops to wait for a slot or for an answer.
var (
	errBudget    = errors.New("the wait budget ended")
	errCancelled = errors.New("cancelled")
	errGone      = errors.New("the caller disconnected")
	errShutdown  = errors.New("the gateway is stopping")
	errEnded     = errors.New("the invocation ended")
)

// loss is a reason why an invocation does not run, or does not run any longer.
type loss struct {
	reason faas.Reason
	detail string
}

func (l *loss) Error() string { return string(l.reason) + ": " + l.detail }

// lossOf is why the invocations of a runner that exited are lost.
func lossOf(e *faas.Exit) *loss {
	if e.Reason == "" {
		return &loss{faas.ReasonRunnerLost, "its runner ended without an outcome"}
	}
	return &loss{e.Reason, e.Words()}
}
