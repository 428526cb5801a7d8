package dispatch

import (
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// progress takes the steps of a call that is on its way to its end: it changes the record, counts the call once, and
// saves.
type progress struct {
	recorder *recorder
	meter    Meter
	now      func() time.Time
}

// step takes a step, and counts the call when others may know of it from now on.
func (p *progress) step(c *call, next state) {
	if c.to(next) {
		p.meter.Accepted(c.snapshot())
	}
}

// queued notes that the call waits for a slot.
func (p *progress) queued(c *call) { p.step(c, queued) }

// launched notes that a runner is being launched for the call.
func (p *progress) launched(c *call) {
	c.mu.Lock()
	c.attempt.askedAt = p.now()
	c.mu.Unlock()
	c.change(func(i *faas.Invocation) { i.State = faas.Starting })
	p.recorder.save(c)
}

// bound notes which runner the call is offered to, and how long it took to get there.
func (p *progress) bound(c *call, hello *task.Hello) {
	now := p.now()
	c.change(func(i *faas.Invocation) {
		i.Start, i.Inner.Runner = hello.Start, hello.Runner
		asked := c.attempt.askedAt
		if asked.IsZero() || hello.Invocation != c.id {
			asked = now
		}
		i.Phases.Queue = faas.Duration(asked.Sub(i.CreatedAt))
		i.Phases.Start = faas.Duration(now.Sub(asked))
	})
}

// requeued notes that the runner did not take the call: another slot is worth a try.
func (p *progress) requeued(c *call) {
	c.change(func(i *faas.Invocation) { i.State, i.Start, i.Inner.Runner = faas.Starting, "", "" })
	p.step(c, queued)
}

// committed notes that the runner has the whole input: from here on the command runs, or may run.
func (p *progress) committed(c *call) {
	c.change(func(i *faas.Invocation) { i.State = faas.Running })
	p.step(c, committed)
	p.recorder.save(c)
}

// running notes that the runner has started the command; record is the runner's copy.
func (p *progress) running(c *call, record *faas.Invocation) {
	c.change(func(i *faas.Invocation) {
		i.State = faas.Running
		at := p.now().UTC()
		i.StartedAt = &at
		if record != nil && record.StartedAt != nil {
			i.StartedAt = record.StartedAt
		}
		if record != nil && record.Input != nil && i.Input == nil {
			i.Input = record.Input
		}
	})
	p.step(c, committed)
	p.recorder.save(c)
}

// inputStored notes how the runner's upload of the input went.
func (p *progress) inputStored(c *call, in *faas.Input) {
	if in != nil {
		c.amend(func(i *faas.Invocation) { i.Input = in })
		p.recorder.save(c)
	}
	c.inputReported()
}
