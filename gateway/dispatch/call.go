package dispatch

import (
	"context"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/signal"
	"davit/internal/task"
)

// call is an invocation that this gateway leads.
type call struct {
	id      faas.InvocationID
	rev     *faas.Revision
	task    *task.Task    // its template
	request *faas.Call    // nil when adopted
	trigger *faas.Trigger // nil when adopted
	body    *body
	adopted bool // led before by another gateway
	job     job

	budgetEndsAt time.Time // zero: no caller waits

	wanted    context.Context //nolint:containedctx // canceled, with the cause, when the call stops waiting for a slot
	unwant    context.CancelCauseFunc
	undecided context.Context //nolint:containedctx // canceled when the outcome is decided and on its way to Redis
	decide    context.CancelFunc

	changed signal.Broadcast // sent on every step, and when the input is stored

	mu      sync.Mutex
	life    lifecycle
	inv     *faas.Invocation // replaced, never changed: snapshots share it
	attempt attempt
	input   bool // the runner has reported how storing the input went
}

// newCall returns an opened call whose contexts are children of base.
func newCall(base context.Context, inv *faas.Invocation, rev *faas.Revision, t *task.Task) *call {
	c := &call{id: inv.ID, rev: rev, task: t, inv: inv, body: &body{}}
	c.wanted, c.unwant = context.WithCancelCause(base)
	c.undecided, c.decide = context.WithCancel(base)
	return c
}

// to takes a step, if the table of states allows it. It reports whether others may know of the call only from this step
// on.
func (c *call) to(next state) (first bool) {
	c.mu.Lock()
	before := c.life.isKnown()
	ok := c.life.step(next)
	first = !before && c.life.isKnown()
	c.mu.Unlock()
	if ok {
		c.changed.Send()
	}
	return first
}

// was reports whether the call is, or has been, in the state.
func (c *call) was(s state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.was(s)
}

// isKnown reports whether others may know of the call.
func (c *call) isKnown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.isKnown()
}

// isDecided reports whether the outcome is decided, and those who wait for it may know.
func (c *call) isDecided() bool { return c.undecided.Err() != nil }

// await returns once holds returns true, or when ctx ends. It asks after every step.
func (c *call) await(ctx context.Context, holds func() bool) error {
	for {
		changed := c.changed.C()
		if holds() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
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

// amend replaces the record by a changed copy, also a final one: f must not change its state.
func (c *call) amend(f func(*faas.Invocation)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.inv.Clone()
	f(next)
	c.inv = next
}

// adoptRecord replaces the record by one that another gateway made final.
func (c *call) adoptRecord(inv *faas.Invocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inv = inv
}

// recorded notes that the final record is in Redis. first reports whether it was not before, over whether the runner
// has nothing more to report.
func (c *call) recorded() (first, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, over = !c.life.was(recorded), c.life.was(stored)
	if !c.life.was(ended) { // the record was written before the settler, which changes it first, took that step
		c.life.step(ended)
	}
	c.life.step(recorded)
	return first, over
}

// record returns the record as it is known; it must not be changed.
func (c *call) record() *faas.Invocation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inv
}

// snapshot returns a copy of the record as it is known.
func (c *call) snapshot() *faas.Invocation { return c.record().Clone() }

// snapshotWith returns a copy of the record as it will be when the outcome is settled.
func (c *call) snapshotWith(o *task.Outcome) *faas.Invocation {
	inv := c.snapshot()
	if !inv.State.Final() {
		o.Settle(inv)
	}
	return inv
}

func (c *call) isFinal() bool { return c.record().State.Final() }

func (c *call) mode() faas.Mode { return c.record().Mode }

// isStaged reports whether the gateway has stored the input.
func (c *call) isStaged() bool {
	in := c.record().Input
	return in != nil && in.Stored
}

// outcome returns what is known of the command's end, or nil.
func (c *call) outcome() *task.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempt.outcome
}

// setOutcome notes the outcome, and reports whether the invocation was accepted.
func (c *call) setOutcome(o *task.Outcome) (accepted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempt.outcome = o
	return c.inv.Inner.Accepted
}

// answered notes the outcome with which the runner's answer begins.
func (c *call) answered(o *task.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attempt.outcome == nil {
		c.attempt.outcome = o
	}
}

func (c *call) logTail() string {
	if o := c.outcome(); o != nil {
		return o.LogTail
	}
	return ""
}

// view returns one consistent copy of what is known of the call.
func (c *call) view() faas.CallView {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := faas.CallView{
		Record: c.inv.Clone(), Known: c.life.isKnown(), Stored: c.life.was(stored), Ended: c.isDecided(),
		Answered: c.attempt.outcome != nil && !c.inv.Inner.Accepted,
	}
	v.Latest = v.Record
	if v.Answered && !v.Record.State.Final() {
		v.Latest = v.Record.Clone()
		c.attempt.outcome.Settle(v.Latest)
	}
	return v
}

// hasAnswered reports whether the caller has the outcome.
func (c *call) hasAnswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempt.outcome != nil && !c.inv.Inner.Accepted
}

// toWrite returns the record to write. alone reports whether others may have a say in how the call ends, or its end is
// in Redis already. A call that only its caller knew of is written together with others.
func (c *call) toWrite() (inv *faas.Invocation, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	alone = c.inv.State.Final() && (c.life.was(recorded) || c.adopted || c.inv.Inner.Accepted || !c.attempt.missedAt.IsZero())
	return c.inv, alone
}

// keeps reports whether the runner uploads the result of a call that was not accepted, by the trigger's keep.
func (c *call) keeps(o *task.Outcome) bool {
	switch c.record().Inner.Keep {
	case faas.KeepNone:
		return false
	case faas.KeepFailed:
		return o.Reason != ""
	case faas.KeepAll:
	}
	return true
}

// outOfTouch notes that the runner's connections are gone.
func (c *call) outOfTouch(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attempt.missedAt.IsZero() {
		c.attempt.missedAt = now
	}
}

// inTouch notes that the runner is connected, or that its absence is dealt with.
func (c *call) inTouch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempt.missedAt = time.Time{}
}

// missedFor is how long the runner has been out of touch; 0 if it has nothing more to report.
func (c *call) missedFor(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attempt.missedAt.IsZero() || c.life.was(stored) {
		return 0
	}
	return now.Sub(c.attempt.missedAt)
}

// inputReported notes that the runner has reported how storing the input went.
func (c *call) inputReported() {
	c.mu.Lock()
	c.input = true
	c.mu.Unlock()
	c.changed.Send()
}

func (c *call) isInputReported() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.input
}

// budget is how long the caller waits for the result before it gets a 202.
func (c *call) budget() time.Duration {
	budget := c.trigger.Wait.Std()
	if c.request.Wait != nil && *c.request.Wait < budget {
		budget = *c.request.Wait
	}
	return budget
}

// stopAtBudget cancels a wait with errBudget when the caller's budget ends; now is the present time.
func (c *call) stopAtBudget(now time.Time, cancel context.CancelCauseFunc) {
	if c.budgetEndsAt.IsZero() {
		return
	}
	timer := time.AfterFunc(max(c.budgetEndsAt.Sub(now), 0), func() { cancel(errBudget) })
	context.AfterFunc(c.wanted, func() { timer.Stop() })
}

// stopWhenLost cancels a wait for the runner's answer when the invocation ends without an outcome of the runner,
// because a runner that hangs may keep its connection open for long. It holds until stop is called.
func (c *call) stopWhenLost(cancel context.CancelCauseFunc) (stop func() bool) {
	return context.AfterFunc(c.undecided, func() {
		if c.outcome() == nil {
			cancel(errEnded)
		}
	})
}

// leave ends what the caller's own goroutine needed, unless the invocation goes on without it.
func (c *call) leave() {
	if !c.record().Inner.Accepted {
		c.unwant(nil)
	}
}
