package dispatch

import (
	"davit/internal/faas"
	"davit/internal/task"
)

// end notes that the command has ended. An invocation that a caller waits for
// is final with that; one that was answered 202 only when its result is stored.
func (d *Dispatcher) end(c *call, o *task.Outcome) {
	c.mu.Lock()
	c.outcome = o
	accepted := c.inv.Inner.Accepted
	c.mu.Unlock()
	if !accepted {
		c.change(o.Settle)
	}
	if !accepted && !c.keeps(o) { // else the runner tells when it has stored what it left
		c.stored.set()
		d.freePlace(c.id)
	}
	d.recorder.save(c) // before the end is told: who hears of it may list
	c.tellEnd()
}

// keeps reports whether a runner stores what a call leaves that nobody was promised.
func (c *call) keeps(o *task.Outcome) bool {
	switch c.current().Inner.Keep {
	case faas.KeepNone:
		return false
	case faas.KeepFailed:
		return o.Reason != ""
	case faas.KeepAll:
	}
	return true
}

// uploaded notes how the uploads went; after it, the runner has nothing more to say.
func (d *Dispatcher) uploaded(c *call, o *task.Outcome) {
	c.change(o.Settle)
	c.mu.Lock()
	next := c.inv.Clone()
	amend(next, o)
	c.inv = next
	c.outcome = o
	c.mu.Unlock()
	c.stored.set()
	c.input.set()
	d.freePlace(c.id)
	if c.hasAnswered() {
		d.recorder.save(c) // nobody waits for its record
	} else {
		d.recorder.saveNow(c)
	}
	c.tellEnd()
}

// amend writes into a final record what is in the store by now; it changes nothing else.
func amend(i *faas.Invocation, o *task.Outcome) {
	if o.Result != nil && i.Result != nil && o.Result.Stored && o.Result.SHA256 == i.Result.SHA256 {
		i.Result.Stored = true
	}
	if o.Input != nil && o.Input.Stored && i.Input != nil {
		i.Input.Stored = true
	}
	if o.LogStored && i.Inner != nil {
		i.Inner.LogStored, i.Inner.LogSize = true, o.LogSize
	}
	i.Phases.Store = o.Phases.Store
	if i.Result != nil && i.Result.Stored && i.EndedAt != nil && i.Inner != nil && i.Inner.Retention > 0 {
		expires := i.EndedAt.Add(i.Inner.Retention.Std())
		i.Result.ExpiresAt = &expires
	}
}

// lose makes an invocation final that has no outcome of its own.
func (d *Dispatcher) lose(c *call, reason faas.Reason, detail string) {
	c.change(func(i *faas.Invocation) { i.End(reason, detail, d.Now().UTC()) })
	c.count()
	c.stored.set()
	c.cancel(&loss{reason, detail})
	d.dismiss(c)
	d.freePlace(c.id)
	d.recorder.saveNow(c)
	c.tellEnd()
}

// drop forgets a call that never was accepted; one that was seen by others is settled instead.
func (d *Dispatcher) drop(c *call) {
	c.mu.Lock()
	seen := c.reported
	c.mu.Unlock()
	if seen {
		d.lose(c, faas.ReasonCancelled, "the call ended before its input was whole; nothing ran")
		return
	}
	c.cancel(errEnded)
	d.dismiss(c)
	d.forget(c)
	c.tellEnd()
}

// tellEnd lets those go on who wait for the outcome.
func (c *call) tellEnd() {
	if c.ended.set() {
		c.d.announce()
	}
}

func (c *call) isCommitted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commit
}
