package dispatch

import (
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// Joined takes in what a runner holds, whoever led it before.
func (d *Dispatcher) Joined(hello task.Hello) {
	d.scaler.joined(hello.Runner)
	d.scaler.touch(hello.Ref(), false)
	for i := range hello.Held {
		held := &hello.Held[i]
		c := d.find(held.Record.ID)
		if c == nil {
			d.meet(hello.Runner, held)
			continue
		}
		c.found()
		if held.Ended && held.Outcome != nil {
			d.end(c, held.Outcome)
		}
		if held.Uploaded && held.Outcome != nil {
			d.uploaded(c, held.Outcome)
		}
	}
}

// Left starts the grace in which a runner may dial in again.
func (d *Dispatcher) Left(hello task.Hello, held []faas.InvocationID) {
	d.scaler.missed(&hello)
	d.scaler.touch(hello.Ref(), false)
	for _, id := range held {
		if c := d.find(id); c != nil {
			c.missed(d.Now())
		}
		d.part(id)
	}
}

// Parked notes that a runner is ready for calls.
func (d *Dispatcher) Parked(hello task.Hello) {
	if hello.Start == faas.StartJob {
		return
	}
	of := group{hello.Ref(), hello.Start}
	if took, known := d.scaler.filled(of, true); known {
		d.Meter.Refilled(hello.Start, took)
	}
	d.scaler.touch(hello.Ref(), false)
}

// Happened moves the invocation that the event is about.
func (d *Dispatcher) Happened(runner faas.RunnerID, e task.Event) {
	if e.Kind == task.EventStartFailed {
		d.startFailed(runner, e)
		return
	}
	if e.Invocation == "" {
		return
	}
	d.refill(runner, e.Kind)
	c := d.find(e.Invocation)
	if c == nil {
		d.overhear(runner, e)
		return
	}
	switch e.Kind {
	case task.EventRunning:
		c.running(e.Record)
	case task.EventInputStored:
		c.inputStored(e.Input)
	case task.EventEnded:
		if e.Outcome != nil {
			d.end(c, e.Outcome)
		}
	case task.EventStored:
		if e.Outcome != nil {
			d.uploaded(c, e.Outcome)
		}
	case task.EventTaken, task.EventReleased, task.EventSlots, task.EventStartFailed, task.EventDraining:
	}
}

// shortCall is how long a call has the machine for itself before its standby runner is replaced.
const shortCall = 20 * time.Millisecond

// refill has a standby runner that was taken replaced: its pod is seen to be over long after it is of no use. Starting
// another is much work, on the same machine perhaps: a short call is over before.
func (d *Dispatcher) refill(runner faas.RunnerID, kind task.EventKind) {
	if kind != task.EventTaken && kind != task.EventRunning && kind != task.EventEnded {
		return
	}
	if hello, known := d.hub.Hello(runner); known && hello.Start == faas.StartStandby {
		time.AfterFunc(shortCall, func() { d.scaler.touch(hello.Ref(), false) })
	}
}

func (c *call) running(record *faas.Invocation) {
	c.mu.Lock()
	c.commit = true
	c.mu.Unlock()
	c.change(func(i *faas.Invocation) {
		i.State = faas.Running
		at := c.d.Now().UTC()
		i.StartedAt = &at
		if record != nil && record.StartedAt != nil {
			i.StartedAt = record.StartedAt
		}
		if record != nil && record.Input != nil && i.Input == nil {
			i.Input = record.Input
		}
	})
	c.d.recorder.save(c)
}

func (c *call) inputStored(in *faas.Input) {
	if in != nil {
		c.mu.Lock()
		next := c.inv.Clone()
		next.Input = in
		c.inv = next
		c.mu.Unlock()
		c.d.recorder.save(c)
	}
	c.input.set()
}

// missed notes that the runner's connections are gone.
func (c *call) missed(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missedAt.IsZero() {
		c.missedAt = at
	}
}

func (c *call) found() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missedAt = time.Time{}
}

// startFailed ends the calls that wait for the runner whose start process failed.
func (d *Dispatcher) startFailed(runner faas.RunnerID, e task.Event) {
	d.Logger.Warn("a function's start process failed", "runner", runner, "detail", e.Detail)
	for _, status := range d.hub.Runners() {
		if status.Hello.Runner == runner {
			d.Exited(Exit{
				Runner: runner, Invocation: status.Hello.Invocation, Start: status.Hello.Start, Ref: status.Hello.Ref(),
				Reason: faas.ReasonStartFailed, Detail: e.Detail, LogTail: e.LogTail,
			})
		}
	}
}

// Exited tells the dispatcher that a runner's process or pod is gone, and why.
func (d *Dispatcher) Exited(e Exit) {
	if d.ended(&e) {
		d.tellExit(&e)
	}
}

// ended does what the end of a runner asks for, and reports whether it is news.
func (d *Dispatcher) ended(e *Exit) (news bool) {
	news = d.scaler.exited(e)
	if news && e.Start != faas.StartJob && !d.hub.HasParked(e.Runner) {
		d.scaler.filled(group{e.Ref, e.Start}, false)
	}
	hopeless := news && d.isHopeless(e)
	d.mu.Lock()
	var bound []*call
	var waiting *call
	for _, c := range d.calls {
		inv := c.current()
		switch {
		case inv.Inner.Runner == e.Runner && c.isCommitted():
			bound = append(bound, c)
		case e.Invocation == c.id && !c.isCommitted() && (inv.Inner.Runner == "" || inv.Inner.Runner == e.Runner):
			waiting = c
		case hopeless && c.inLane && c.rev.Ref() == e.Ref && inv.Mode == faas.ModeWarm:
			c.cancel(&loss{e.Reason, e.Words()})
		}
	}
	if news {
		d.lostFirst(e)
	}
	d.mu.Unlock()
	if waiting != nil && e.Reason != "" {
		waiting.cancel(&loss{e.Reason, e.Words()})
	}
	for _, c := range bound {
		d.work.Go(func() { d.resolve(d.base, c, lossOf(e)) })
	}
	return news
}

// isHopeless reports whether the calls that wait for a warm runner would wait in
// vain: further ones would end like this one, which was never ready, and none is there.
func (d *Dispatcher) isHopeless(e *Exit) bool {
	if e.Start != faas.StartWarm {
		return false
	}
	switch e.Reason { //nolint:exhaustive // the others may not come again
	case faas.ReasonStartFailed:
		return !d.hub.HasParked(e.Runner)
	case faas.ReasonImagePull, faas.ReasonUnschedulable:
		return d.hub.Slots(e.Ref)[faas.StartWarm].Runners == 0
	}
	return false
}

func lossOf(e *Exit) *loss {
	if e.Reason == "" {
		return &loss{faas.ReasonRunnerLost, "its runner ended without an outcome"}
	}
	return &loss{e.Reason, e.Words()}
}

func (c *call) current() *faas.Invocation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inv
}
