package recovery

import (
	"context"
	"sync"

	"davit/internal/faas"
	"davit/internal/task"
)

// Recoverer takes over what other gateways left and settles what runners left. Its methods may be used by many
// goroutines at once.
type Recoverer struct {
	o       Options
	remotes *remotes
	base    context.Context //nolint:containedctx // the parent of hand-overs; Run cancels it
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// Owned notes an invocation of another gateway that a runner reports when it connects.
func (r *Recoverer) Owned(runner faas.RunnerID, h *task.Owned) { r.remotes.held(runner, h) }

// Left notes that the runner of these invocations has left.
func (r *Recoverer) Left(owned []faas.InvocationID) { r.remotes.forget(owned...) }

// Happened notes what a runner reports of an invocation of another gateway.
func (r *Recoverer) Happened(runner faas.RunnerID, e task.Event) { r.remotes.event(runner, e) }

// Ending reports whether a runner connected here has ended an invocation that another gateway leads.
func (r *Recoverer) Ending(id faas.InvocationID) bool {
	known := r.remotes.find(id)
	return known != nil && known.outcome != nil
}
