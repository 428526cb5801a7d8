package dispatch

import (
	"context"
	"errors"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// claim gets c a slot: a parked one at once, or one that it queues for and has
// brought up. The error is a cause of this package, a *loss or a *faas.Error.
func (d *Dispatcher) claim(ctx context.Context, c *call) (*hub.Slot, error) {
	if c.ctx.Err() != nil {
		return nil, context.Cause(c.ctx) //nolint:contextcheck // the call's own life
	}
	want := d.want(c)
	d.scaler.calls(c)
	if slot := d.hub.TryClaim(want); slot != nil {
		return slot, nil
	}
	if err := d.enter(c); err != nil {
		return nil, err
	}
	defer d.exit(c)
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })() //nolint:contextcheck // the call's own life
	c.stopAtBudget(cancel)
	defer d.expire(c, cancel).Stop()
	defer d.watchCaller(c, cancel)()
	d.recorder.save(c)
	over := d.bringUp(wait, c, cancel)
	slot, err := d.hub.Claim(wait, want)
	over(slot)
	if err != nil {
		if cause := context.Cause(wait); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	d.Meter.ColdStart(slot.Runner().Start)
	return slot, nil
}

// expire ends a wait that began with the call and lasts longer than the function allows.
func (d *Dispatcher) expire(c *call, cancel context.CancelCauseFunc) *time.Timer {
	most := c.rev.Spec.MaxQueue.Wait
	left := c.current().CreatedAt.Add(most.Std()).Sub(d.Now())
	return time.AfterFunc(max(left, 0), func() {
		cancel(&loss{faas.ReasonExpired, "it waited for a slot for " + most.String() + ", which is max_queue.wait"})
	})
}

// want says which slots will do for c.
func (d *Dispatcher) want(c *call) hub.Want {
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

func (c *call) mode() faas.Mode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inv.Mode
}

// bringUp has a runner brought up for c in the way of its mode. What it returns
// must be called when the wait is over, with the slot that came of it, if any.
func (d *Dispatcher) bringUp(wait context.Context, c *call, cancel context.CancelCauseFunc) (over func(*hub.Slot)) {
	if c.mode() == faas.ModeWarm {
		done := d.scaler.expect(c.rev)
		return func(*hub.Slot) { done() }
	}
	return d.startJob(wait, c, cancel)
}

// startJob has a runner launched for c as soon as the function may run one more, and
// withdrawn when c does not wait any longer. With another's slot it still does, until that took it.
func (d *Dispatcher) startJob(wait context.Context, c *call, cancel context.CancelCauseFunc) (over func(*hub.Slot)) {
	launched, before := make(chan bool, 1), c.withdrawn
	d.work.Go(func() { launched <- d.launch(wait, c, before, cancel) })
	return func(slot *hub.Slot) {
		goesOn := slot != nil || errors.Is(context.Cause(wait), errBudget)
		cancel(nil)
		if <-launched {
			c.uncover()
			c.launched.Store(true)
		}
		if !goesOn && c.launched.Swap(false) {
			d.withdrawSoon(c)
		}
	}
}

// took notes that c is about to run on a slot: the runner that was launched for it is not needed if it is another's.
func (d *Dispatcher) took(c *call, slot *hub.Slot) {
	if slot.Runner().Invocation != c.id && c.launched.Swap(false) {
		d.withdrawSoon(c)
	}
}

// withdrawSoon ends the runner of a call that goes on; another one is launched after that only.
func (d *Dispatcher) withdrawSoon(c *call) {
	done := make(chan struct{})
	c.withdrawn = done
	d.background(func(ctx context.Context) {
		defer close(done)
		d.withdraw(ctx, c)
	})
}

func (d *Dispatcher) launch(wait context.Context, c *call, before <-chan struct{}, cancel context.CancelCauseFunc) bool {
	if before != nil {
		<-before
	}
	if err := d.takePlace(wait, c); err != nil {
		cancel(err)
		return false
	}
	c.asked(d.Now())
	c.uncover = func() {}
	if c.mode() == faas.ModeStandby {
		c.uncover = d.scaler.cover(c.rev)
	}
	if err := d.Launcher.Launch(wait, c.rev, c.id, c.task.Timeout.Std()); err != nil {
		if wait.Err() == nil {
			cancel(launchLoss(err))
		}
		return true
	}
	return true
}

// launchLoss keeps a launcher's own reason; else nothing could be started.
func launchLoss(err error) *faas.Error {
	var e *faas.Error
	if errors.As(err, &e) {
		return e
	}
	return &faas.Error{Kind: faas.Unavailable, Detail: "no runner could be started", RetryAfter: 5 * time.Second, Err: err}
}

// dismiss ends the runner that was launched for c, when the call is over without it.
func (d *Dispatcher) dismiss(c *call) {
	if c.launched.Swap(false) {
		d.background(func(ctx context.Context) { d.withdraw(ctx, c) })
	}
}

// withdraw ends a runner that was launched for a call that does not need it.
func (d *Dispatcher) withdraw(ctx context.Context, c *call) {
	if err := d.Launcher.Stop(context.WithoutCancel(ctx), c.id); err != nil {
		d.Logger.Warn("stop a runner that is not needed", "invocation", c.id, "error", err)
	}
	d.freePlace(c.id)
}

// watchCaller gives up a call that still waits when its caller hangs up and the
// input is still on its socket.
func (d *Dispatcher) watchCaller(c *call, cancel context.CancelCauseFunc) (stop func()) {
	if c.req == nil || c.req.Gone == nil || c.body.whole() {
		return func() {}
	}
	over := make(chan struct{})
	d.work.Go(func() {
		select {
		case <-c.req.Gone:
			cancel(errGone)
		case <-over:
		}
	})
	return func() { close(over) }
}

// enter takes a place in the function's bounded queue. An accepted call, and one that has a place, is never refused.
func (d *Dispatcher) enter(c *call) error {
	name := c.rev.Function
	accepted := c.snapshot().Inner.Accepted
	d.mu.Lock()
	has := c.inLane
	full := !has && !accepted && d.lanes[name] >= c.rev.Spec.MaxQueue.Calls
	if !has && !full {
		c.inLane = true
		d.lanes[name]++
	}
	d.mu.Unlock()
	if full {
		return &faas.Error{
			Kind: faas.Limited, RetryAfter: time.Second,
			Detail: "the queue of function " + string(name) + " is full (max_queue.calls); try again later",
		}
	}
	if !has {
		c.count()
		d.Meter.Queued(1)
	}
	return nil
}

// exit gives the place in the queue back.
func (d *Dispatcher) exit(c *call) {
	d.mu.Lock()
	had := c.inLane
	c.inLane = false
	if had {
		if d.lanes[c.rev.Function]--; d.lanes[c.rev.Function] <= 0 {
			delete(d.lanes, c.rev.Function)
		}
	}
	d.mu.Unlock()
	if had {
		d.Meter.Queued(-1)
	}
}

// waiting counts the calls of a function that wait for a slot here.
func (d *Dispatcher) waiting(name faas.FunctionName) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lanes[name]
}
