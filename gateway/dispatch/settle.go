package dispatch

import (
	"errors"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// settler decides the outcomes of calls. The order of each end is: change the record, step on, free the permit, save,
// and only then report the end, because who learns of the end may list.
type settler struct {
	calls    *calls
	recorder *recorder
	permits  *permits
	launches *launches
	progress *progress
	meter    Meter
	now      func() time.Time
}

// end notes that the command has ended. An invocation that a caller waits for is final with that, an accepted one only
// when its result is stored.
func (s *settler) end(c *call, o *task.Outcome) {
	accepted := c.setOutcome(o)
	if !accepted {
		c.change(o.Settle)
	}
	s.progress.step(c, ended)
	if !accepted && !c.keeps(o) { // else the runner reports its uploads
		c.to(stored)
		s.permits.free(c.id)
	}
	s.recorder.save(c)
	s.report(c)
}

// uploaded notes how the uploads went; after it, the runner has nothing more to report.
func (s *settler) uploaded(c *call, o *task.Outcome) {
	c.change(o.Settle)
	c.amend(func(i *faas.Invocation) { addUploads(i, o) })
	c.setOutcome(o)
	s.progress.step(c, ended)
	c.to(stored)
	c.inputReported()
	s.permits.free(c.id)
	if c.hasAnswered() {
		s.recorder.save(c) // nobody waits for its record
	} else {
		s.recorder.saveNow(c)
	}
	s.report(c)
}

// addUploads writes into a final record what is in the store by now; it changes nothing else.
func addUploads(i *faas.Invocation, o *task.Outcome) {
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
func (s *settler) lose(c *call, reason faas.Reason, detail string) {
	c.change(func(i *faas.Invocation) { i.End(reason, detail, s.now().UTC()) })
	s.progress.step(c, ended)
	c.to(stored) // nothing is uploaded
	c.unwant(&loss{reason, detail})
	s.launches.dismiss(c)
	s.permits.free(c.id)
	s.recorder.saveNow(c)
	s.report(c)
}

// drop forgets a call that never ran. A call that others may know of is settled instead.
func (s *settler) drop(c *call) {
	if c.isKnown() {
		s.lose(c, faas.ReasonCancelled, "the call ended before its input was whole; nothing ran")
		return
	}
	c.unwant(errEnded)
	s.launches.dismiss(c)
	s.close(c)
}

// yield leaves an invocation to the gateway that leads it by now.
func (s *settler) yield(c *call) {
	s.permits.free(c.id)
	s.close(c)
	s.meter.Released()
}

// handOver leaves an invocation to the gateway that made record final. It reports false if the call is final here
// already: then Redis decides which end stands.
func (s *settler) handOver(c *call, record *faas.Invocation) bool {
	c.mu.Lock()
	final := c.inv.State.Final()
	if !final {
		c.inv = record
		for _, next := range []state{ended, stored, recorded} {
			c.life.step(next)
		}
	}
	c.mu.Unlock()
	if final {
		return false
	}
	s.meter.Released()
	c.unwant(errEnded)
	s.launches.dismiss(c)
	s.permits.free(c.id)
	c.inputReported()
	s.close(c)
	return true
}

// close forgets a call and reports its end.
func (s *settler) close(c *call) {
	s.calls.forget(c)
	s.calls.changed.Send()
}

// report wakes everybody who waits for the outcome.
func (s *settler) report(c *call) {
	if !c.isDecided() {
		c.decide()
		s.calls.changed.Send()
	}
}

// giveUp settles a call that will not run, and returns the error for its caller.
func (s *settler) giveUp(c *call, err error) error {
	var l *loss
	switch {
	case errors.As(err, &l):
		s.lose(c, l.reason, l.detail)
		return failed(c.snapshot(), "")
	case errors.Is(err, errCancelled):
		s.lose(c, faas.ReasonCancelled, "cancelled before it ran")
		return failed(c.snapshot(), "")
	case errors.Is(err, errGone):
		s.lose(c, faas.ReasonCancelled, "the caller hung up before it ran")
		return failed(c.snapshot(), "")
	}
	s.drop(c)
	return notRun(err)
}

// refuse drops a call whose body could not be read, and returns the error for its caller.
func (s *settler) refuse(c *call, err error) error {
	s.drop(c)
	return badBody(err)
}
