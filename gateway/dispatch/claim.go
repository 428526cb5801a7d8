package dispatch

import (
	"context"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// claimer gets calls their slots.
type claimer struct {
	slots    Slots
	fleet    Fleet
	waiting  *waiting
	launches *launches
	recorder *recorder
	progress *progress
	meter    CallMeter
	work     *work
	now      func() time.Time
}

// claim gets c a slot: a parked one at once, or one that c queues for while a runner is started. The error is a cause
// of this package, a *loss or a *faas.Error.
func (cl *claimer) claim(ctx context.Context, c *call) (*hub.Slot, error) {
	if c.wanted.Err() != nil {
		return nil, context.Cause(c.wanted) //nolint:contextcheck // the call's own life
	}
	want := wantOf(c)
	cl.fleet.Note(c.rev, c.mode())
	slot := cl.slots.TryClaim(want)
	if slot == nil {
		var err error
		if slot, err = cl.wait(ctx, c, want); err != nil {
			return nil, err
		}
		cl.meter.ColdStart(slot.Runner().Start)
	}
	cl.waiting.exit(c)
	cl.progress.step(c, claimed)
	return slot, nil
}

// wait queues c until it has a slot.
func (cl *claimer) wait(ctx context.Context, c *call, want hub.Want) (*hub.Slot, error) {
	if err := cl.enter(c); err != nil {
		return nil, err
	}
	defer cl.waiting.exit(c)
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.wanted, func() { cancel(context.Cause(c.wanted)) })() //nolint:contextcheck // the call's own life
	c.stopAtBudget(cl.now(), cancel)
	defer cl.expire(c, cancel).Stop()
	defer cl.watchCaller(c, cancel)()
	cl.recorder.save(c)
	over := cl.launches.begin(wait, c, cancel)
	slot, err := cl.slots.Claim(wait, want)
	over(slot)
	if err != nil && context.Cause(wait) != nil {
		return nil, context.Cause(wait)
	}
	return slot, err
}

// enter counts c in its function's queue.
func (cl *claimer) enter(c *call) error {
	if err := cl.waiting.enter(c); err != nil {
		return err
	}
	cl.progress.queued(c)
	return nil
}

// expire cancels a wait that lasts longer, from the call's beginning, than the function allows.
func (cl *claimer) expire(c *call, cancel context.CancelCauseFunc) *time.Timer {
	most := c.rev.Spec.MaxQueue.Wait
	left := c.record().CreatedAt.Add(most.Std()).Sub(cl.now())
	return time.AfterFunc(max(left, 0), func() {
		cancel(&loss{faas.ReasonExpired, "it waited for a slot for " + most.String() + ", which is max_queue.wait"})
	})
}

// watchCaller cancels a queued call when its caller disconnects, because an unread input cannot be accepted. It holds
// until stop is called.
func (cl *claimer) watchCaller(c *call, cancel context.CancelCauseFunc) (stop func()) {
	if c.request == nil || c.request.Gone == nil || c.body.whole() {
		return func() {}
	}
	over := make(chan struct{})
	cl.work.Go(func() {
		select {
		case <-c.request.Gone:
			cancel(errGone)
		case <-over:
		}
	})
	return func() { close(over) }
}

// wantOf says which slots will do for c.
func wantOf(c *call) hub.Want {
	w := hub.Want{Ref: c.rev.Ref(), Invocation: c.id}
	switch c.mode() {
	case faas.ModeWarm:
		w.Starts = []faas.Start{faas.StartWarm}
	case faas.ModeStandby:
		w.Starts = []faas.Start{faas.StartStandby, faas.StartJob}
	case faas.ModeJob:
		w.Starts = []faas.Start{faas.StartJob}
	}
	return w
}
