package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// call is an invocation that this gateway leads.
type call struct {
	d       *Dispatcher
	id      faas.InvocationID
	rev     *faas.Revision
	task    *task.Task    // its template
	req     *Request      // nil when adopted
	trigger *faas.Trigger // nil when adopted
	body    *body

	budgetEndsAt time.Time // zero: no caller waits

	ctx    context.Context //nolint:containedctx // ends when nothing is to wait for a slot for this call any more
	cancel context.CancelCauseFunc

	ended  *mark // the outcome is decided
	stored *mark // the runner has said how the uploads went, and stores nothing more
	input  *mark // the runner has stored the input

	withdrawn <-chan struct{} // closed when a runner that was not needed is; of the goroutine that claims
	uncover   func()          // tells that it does not wait for its Job any more; of that goroutine, too

	launched atomic.Bool // a runner for it, which was not withdrawn
	inLane   bool        // counted in the function's lane; guarded by the dispatcher's mu

	mu       sync.Mutex
	inv      *faas.Invocation // replaced, never changed: snapshots share it
	outcome  *task.Outcome    // once the command has ended
	launchAt time.Time        // when a runner was asked for
	commit   bool             // the body was complete: it runs, or may run
	reported bool             // counted by the meter
	saved    bool             // the final record is in Redis
	missedAt time.Time        // since when its runner is out of touch
}

func newCall(d *Dispatcher, inv *faas.Invocation, rev *faas.Revision, t *task.Task) *call {
	c := &call{
		d: d, id: inv.ID, rev: rev, task: t, inv: inv, body: &body{},
		ended: newMark(), stored: newMark(), input: newMark(),
	}
	c.ctx, c.cancel = context.WithCancelCause(d.base)
	return c
}

// change replaces the record by a changed copy; a final record stays as it is.
func (c *call) change(f func(*faas.Invocation)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inv.State.Final() {
		return
	}
	next := c.inv.Clone()
	f(next)
	c.inv = next
}

// snapshot returns the record as it is known; the caller must not change it.
func (c *call) snapshot() *faas.Invocation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inv.Clone()
}

// snapshotWith returns the record as it will be when the outcome is settled.
func (c *call) snapshotWith(o *task.Outcome) *faas.Invocation {
	inv := c.snapshot()
	if !inv.State.Final() {
		o.Settle(inv)
	}
	return inv
}

func (c *call) isFinal() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inv.State.Final()
}

func (c *call) logTail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcome == nil {
		return ""
	}
	return c.outcome.LogTail
}

// budget is how long the caller waits for the result before it gets a 202.
func (c *call) budget() time.Duration {
	budget := c.trigger.Wait.Std()
	if c.req.Wait != nil && *c.req.Wait < budget {
		budget = *c.req.Wait
	}
	return budget
}

// stopAtBudget ends a wait when the caller's budget does.
func (c *call) stopAtBudget(cancel context.CancelCauseFunc) {
	if c.budgetEndsAt.IsZero() {
		return
	}
	left := c.budgetEndsAt.Sub(c.d.Now())
	timer := time.AfterFunc(max(left, 0), func() { cancel(errBudget) })
	context.AfterFunc(c.ctx, func() { timer.Stop() })
}

// stopWhenLost ends a wait for the runner's answer when the invocation ends without an outcome of the runner's:
// one that hangs may hold its connection for long.
func (c *call) stopWhenLost(cancel context.CancelCauseFunc) {
	context.AfterFunc(c.endedContext(), func() {
		if c.outcomeKnown() == nil {
			cancel(errEnded)
		}
	})
}

// stopOnceStored ends a wait for the answer of a runner that has nothing left to store, after a while: it may have
// gone, and what it had can be fetched by id. It holds until stop is called.
func (c *call) stopOnceStored(cancel context.CancelCauseFunc) (stop func() bool) {
	return context.AfterFunc(channelContext{c.stored.done}, func() {
		time.AfterFunc(settleSoon, func() { cancel(errEnded) })
	})
}

// endedContext ends when the outcome is decided.
func (c *call) endedContext() context.Context { return channelContext{c.ended.done} }

// asked notes that a runner was asked for, for this call.
func (c *call) asked(at time.Time) {
	c.mu.Lock()
	c.launchAt = at
	c.mu.Unlock()
	c.change(func(i *faas.Invocation) { i.State = faas.Starting })
	c.d.recorder.save(c)
}

// bind notes which runner has the call, and what it took to get there.
func (c *call) bind(hello *task.Hello) {
	now := c.d.Now()
	c.change(func(i *faas.Invocation) {
		i.Start, i.Inner.Runner = hello.Start, hello.Runner
		asked := c.launchAt
		if asked.IsZero() || hello.Invocation != c.id {
			asked = now
		}
		i.Phases.Queue = faas.Duration(asked.Sub(i.CreatedAt))
		i.Phases.Start = faas.Duration(now.Sub(asked))
	})
}

func (c *call) unbind() {
	c.mu.Lock()
	c.commit = false
	c.mu.Unlock()
	c.change(func(i *faas.Invocation) { i.State, i.Start, i.Inner.Runner = faas.Starting, "", "" })
}

// committed notes that the runner has the whole input: from here on the call runs, or may run.
func (c *call) committed() {
	c.mu.Lock()
	c.commit = true
	c.mu.Unlock()
	c.change(func(i *faas.Invocation) { i.State = faas.Running })
	c.count()
	c.d.recorder.save(c)
}

// count tells the meter of the call, once.
func (c *call) count() {
	c.mu.Lock()
	first := !c.reported
	c.reported = true
	c.mu.Unlock()
	if first {
		c.d.Meter.Accepted(c.snapshot())
	}
}

// staged reports whether the gateway has stored the input.
func (c *call) staged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inv.Input != nil && c.inv.Input.Stored
}

// answered notes the outcome that the runner's answer began with.
func (c *call) answered(o *task.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcome == nil {
		c.outcome = o
	}
}

// leave ends what the caller's own goroutine held.
func (c *call) leave() {
	c.mu.Lock()
	accepted := c.inv.Inner.Accepted
	c.mu.Unlock()
	if !accepted {
		c.cancel(nil)
	}
}

// channelContext is done when its channel is closed.
type channelContext struct{ done <-chan struct{} }

func (c channelContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c channelContext) Done() <-chan struct{}       { return c.done }
func (c channelContext) Value(any) any               { return nil }
func (c channelContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}
