package dispatch

import (
	"davit/internal/faas"
	"davit/internal/task"
)

// Owned takes over what a runner that has connected reports of an invocation. ours is false if this gateway does not
// lead it.
func (d *Dispatcher) Owned(h *task.Owned) (ours bool) {
	c := d.calls.find(h.Record.ID)
	if c == nil {
		return false
	}
	c.inTouch()
	d.report(c, h.Outcome, h.Ended, h.Uploaded)
	return true
}

// Left starts the grace in which the runner of these invocations may connect again.
func (d *Dispatcher) Left(owned []faas.InvocationID) {
	for _, id := range owned {
		if c := d.calls.find(id); c != nil {
			c.outOfTouch(d.now())
		}
	}
}

// Happened takes the step that a runner's event reports. ours is false if this gateway does not lead the invocation.
func (d *Dispatcher) Happened(_ faas.RunnerID, e task.Event) (ours bool) {
	c := d.calls.find(e.Invocation)
	if c == nil {
		return false
	}
	switch e.Kind {
	case task.EventRunning:
		d.progress.running(c, e.Record)
	case task.EventInputStored:
		d.progress.inputStored(c, e.Input)
	case task.EventEnded:
		d.report(c, e.Outcome, true, false)
	case task.EventStored:
		d.report(c, e.Outcome, false, true)
	case task.EventTaken, task.EventReleased, task.EventSlots, task.EventStartFailed, task.EventDraining:
	}
	return true
}

// report settles what a runner reports of the end of a call, if it does.
func (d *Dispatcher) report(c *call, o *task.Outcome, hasEnded, uploaded bool) {
	if o == nil {
		return
	}
	if hasEnded {
		d.settler.end(c, o)
	}
	if uploaded {
		d.settler.uploaded(c, o)
	}
}

// Exited resolves the calls that ran on a runner that has ended, and fails the call that waits for it. With hopeless,
// the calls that wait for a warm runner of that revision fail, too.
func (d *Dispatcher) Exited(e faas.Exit, hopeless bool) {
	ran := d.calls.which(func(c *call) bool { return c.record().Inner.Runner == e.Runner && c.was(committed) })
	for _, c := range ran {
		d.work.Go(func() { d.resolver.resolve(d.work.base, c, lossOf(&e)) })
	}
	if e.Reason == "" {
		return
	}
	for _, c := range d.calls.which(func(c *call) bool { return d.waitsFor(c, &e, hopeless) }) {
		c.unwant(&loss{e.Reason, e.Words()})
	}
}

// waitsFor reports whether a call waits in vain because a runner has ended.
func (d *Dispatcher) waitsFor(c *call, e *faas.Exit, hopeless bool) bool {
	inv := c.record()
	if c.was(committed) && inv.Inner.Runner == e.Runner {
		return false
	}
	if e.Invocation == c.id && !c.was(committed) && (inv.Inner.Runner == "" || inv.Inner.Runner == e.Runner) {
		return true
	}
	return hopeless && inv.Mode == faas.ModeWarm && c.rev.Ref() == e.Ref && d.waiting.has(c)
}
