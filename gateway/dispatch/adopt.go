package dispatch

import (
	"context"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// Adopt makes this gateway lead an invocation from its record, on a runner if there is one. It reports whether the
// runner has, or may have, the whole input. A revision that is unknown here does not matter to an invocation that runs
// already.
func (d *Dispatcher) Adopt(ctx context.Context, record *faas.Invocation, runner faas.RunnerID) (isCommitted bool) {
	rev, err := d.catalog.Revision(ctx, record.Ref())
	if err != nil {
		rev = &faas.Revision{Function: record.Function, Number: record.Revision}
	}
	t, err := unpackTask(record)
	if err != nil {
		t = &task.Task{}
	}
	inv := record.Clone()
	if inv.Inner == nil {
		inv.Inner = &faas.Inner{}
	}
	inv.Inner.Gateway = d.gateway
	if runner != "" {
		inv.Inner.Runner = runner
	}
	isCommitted = inv.Inner.Runner != ""
	c := newCall(d.work.base, inv, rev, t) //nolint:contextcheck // the call has a life of its own
	c.adopted = true
	if isCommitted {
		c.life.step(committed)
	} else {
		c.life.step(queued)
	}
	d.calls.add(c)
	d.meter.Adopted()
	d.recorder.save(c)
	return isCommitted
}

// Resume sees an adopted invocation that was accepted to its end, in the background. An invocation that has not reached
// a runner and whose record holds no task is lost.
func (d *Dispatcher) Resume(id faas.InvocationID) {
	c := d.calls.find(id)
	if c == nil {
		return
	}
	if !c.was(committed) && len(c.task.Command) == 0 {
		d.settler.lose(c, faas.ReasonRunnerLost, "its record holds no task")
		return
	}
	d.work.start(func(ctx context.Context) { d.driver.lead(ctx, c) })
}

// Settle takes over the outcome that a runner reported before this gateway led the invocation.
func (d *Dispatcher) Settle(id faas.InvocationID, o *task.Outcome, uploaded bool) {
	if c := d.calls.find(id); c != nil {
		d.report(c, o, true, uploaded)
	}
}

// Lose makes an invocation final that has no outcome.
func (d *Dispatcher) Lose(id faas.InvocationID, reason faas.Reason, detail string) {
	if c := d.calls.find(id); c != nil {
		d.settler.lose(c, reason, detail)
	}
}

// Miss notes that the runner of an invocation is out of touch from now on.
func (d *Dispatcher) Miss(id faas.InvocationID) {
	if c := d.calls.find(id); c != nil {
		c.outOfTouch(d.now())
	}
}

// Unowned returns the accepted calls that this gateway adopted on a runner, while that runner does not own them. Their
// runner is out of touch, or never got the whole of them.
func (d *Dispatcher) Unowned() []faas.SilentCall {
	var unowned []faas.SilentCall
	for _, c := range d.calls.which(func(c *call) bool {
		return c.adopted && c.record().Inner.Accepted && c.was(committed) && !c.was(ended) && c.missedFor(d.now()) > 0
	}) {
		unowned = append(unowned, faas.SilentCall{ID: c.id, Runner: c.record().Inner.Runner})
	}
	return unowned
}

// Retake offers a call that Unowned returned to other runners, in the background, unless its runner owns it after all.
// Until that is decided, Unowned does not return the call again.
func (d *Dispatcher) Retake(id faas.InvocationID) {
	c := d.calls.find(id)
	if c == nil {
		return
	}
	c.inTouch()
	d.work.start(func(ctx context.Context) {
		if d.driver.takeBack(ctx, c) {
			d.driver.start(ctx, c)
		}
	})
}

// TakeSilent returns the calls whose runner has been out of touch for longer than that, each once: the caller must
// resolve them.
func (d *Dispatcher) TakeSilent(longer time.Duration) []faas.SilentCall {
	now := d.now()
	late := d.calls.which(func(c *call) bool { return c.missedFor(now) > longer })
	silent := make([]faas.SilentCall, len(late))
	for i, c := range late {
		c.inTouch()
		silent[i] = faas.SilentCall{ID: c.id, Runner: c.record().Inner.Runner}
	}
	return silent
}

// Resolve settles a call whose runner is gone, in the background: by outcome.json in the store, else by the reported
// outcome, else as lost for that reason. It does nothing if the runner is connected after all.
func (d *Dispatcher) Resolve(id faas.InvocationID, reason faas.Reason, detail string) {
	if c := d.calls.find(id); c != nil {
		d.work.Go(func() { d.resolver.resolve(d.work.base, c, &loss{reason, detail}) })
	}
}

// Adopted returns the adopted invocations that are not final.
func (d *Dispatcher) Adopted() []faas.InvocationID {
	return idsOf(d.calls.which(func(c *call) bool { return c.adopted && !c.isFinal() }))
}

// IsOpen reports whether this gateway leads an invocation that is not final.
func (d *Dispatcher) IsOpen(id faas.InvocationID) bool {
	c := d.calls.find(id)
	return c != nil && !c.isFinal()
}

// HandOver leaves an invocation to the gateway that made the record final. It reports false if this gateway does not
// lead it, or has made it final itself: then Redis decides which end stands.
func (d *Dispatcher) HandOver(record *faas.Invocation) bool {
	c := d.calls.find(record.ID)
	return c != nil && d.settler.handOver(c, record)
}
