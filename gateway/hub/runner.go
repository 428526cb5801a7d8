package hub

import (
	"maps"
	"slices"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// known returns the runner of a hello. It adds a new runner, or refuses it.
func (o *roster) known(hello *task.Hello) (*runner, error) {
	if r := o.runners[hello.Runner]; r != nil {
		if r.hello.Ref() != hello.Ref() || r.hello.Start != hello.Start ||
			r.hello.Invocation != hello.Invocation || r.hello.Slots != hello.Slots {
			return nil, refuse(statusFinal, "runner id %q is taken by another runner", hello.Runner)
		}
		return r, nil
	}
	if o.closed {
		return nil, refuse(statusLater, "the gateway is shutting down")
	}
	p := o.pool(hello.Ref())
	if err := p.admits(hello); err != nil {
		return nil, err
	}
	r := &runner{
		hello:      *hello,
		pool:       p,
		since:      time.Now(),
		conns:      map[*conn]struct{}{},
		claimed:    map[faas.InvocationID]*Slot{},
		lateEvents: map[faas.InvocationID]bool{},
		held:       map[faas.InvocationID]bool{},
	}
	r.hello.Owned, r.hello.Free = nil, 0
	if hello.Start == faas.StartJob {
		p.jobs[hello.Invocation] = r
	}
	p.runners[r] = struct{}{}
	o.runners[hello.Runner] = r
	return r, nil
}

// admits refuses a new runner if the revision has maxRunners, or if the runner's job has another runner.
func (p *pool) admits(hello *task.Hello) error {
	if len(p.runners) >= maxRunners {
		return refuse(statusLater, "revision %s has %d runners already", p.ref, maxRunners)
	}
	if hello.Start != faas.StartJob {
		return nil
	}
	switch first := p.jobs[hello.Invocation]; {
	case first == nil:
		return nil
	case first.control == nil:
		return refuse(statusLater, "invocation %s has a runner already, which is away", hello.Invocation)
	}
	return refuse(statusFinal, "invocation %s has a runner already", hello.Invocation)
}

// forget drops a runner that has been away for forgetAfter, and slot connections of a runner without a control
// connection for controlGrace.
func (o *roster) forget(r *runner, now time.Time) {
	away := now.Sub(r.since)
	if r.control != nil || away < controlGrace {
		return
	}
	o.dropIdle(r)
	if away < forgetAfter && len(r.held) > 0 || len(r.conns) > 0 {
		return
	}
	for id := range r.held {
		o.removeOwner(r, id)
	}
	maps.DeleteFunc(o.inDoubt, func(_ faas.InvocationID, d inDoubt) bool { return d.runner == r })
	delete(o.runners, r.hello.Runner)
	if r.pool.jobs[r.hello.Invocation] == r {
		delete(r.pool.jobs, r.hello.Invocation)
	}
	delete(r.pool.runners, r)
	o.removeIfEmpty(r.pool)
}

// arrive makes c the runner's control connection, and the runner the owner of what its hello lists.
func (o *roster) arrive(r *runner, c *control, hello *task.Hello) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.control, r.since, r.draining = c, time.Now(), false
	r.free, r.justFreed = hello.Free, 0
	clear(r.lateEvents)
	now := make(map[faas.InvocationID]bool, len(hello.Owned))
	for i := range hello.Owned {
		held := &hello.Owned[i]
		now[held.Record.ID] = true
		switch {
		case held.Ended:
			r.advance(held.Record.ID, ended)
		case held.Record.State == faas.Running:
			r.advance(held.Record.ID, running)
		}
	}
	o.syncHeld(r, now)
	for id := range now {
		if other := o.owners[id]; other == nil || other == r || other.control == nil { // else a later attempt runs on the other
			o.setOwner(r, id, confirmed)
		}
	}
	for id, d := range o.inDoubt {
		if d.runner == r {
			o.endOwnerWait(id, false)
		}
	}
	o.offer(r)
}

// depart notes that the control connection ended. It returns the invocations that the runner owned, sorted.
func (o *roster) depart(r *runner) []faas.InvocationID {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.control, r.since = nil, time.Now()
	o.dropIdle(r)
	r.pool.updateReady(r)
	return slices.Sorted(maps.Keys(r.held))
}

// release forgets a control connection that has ended. The runner stays known.
func (o *roster) release(r *runner, c *control) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.latest == c {
		r.latest = nil
	}
}

// dropIdle closes the runner's idle connections: without a control connection the hub cannot know whether they work.
func (o *roster) dropIdle(r *runner) {
	for _, c := range r.idle {
		o.drop(c)
	}
	r.idle = nil
}

// drop closes a connection that is no longer in runner.idle.
func (o *roster) drop(c *conn) {
	_ = c.net.Close()
	delete(c.runner.conns, c)
	c.runner.pool.updateReady(c.runner)
}

// firstParked reports whether this is its first call for the runner.
func (o *roster) firstParked(r *runner) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := !r.announced
	r.announced = true
	return first
}

// park adds an idle connection. If the runner has as many connections as slots, the new one replaces the oldest idle
// one, which must be dead; if none is idle, park refuses the new one and returns false.
func (o *roster) park(r *runner, c *conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.runners[r.hello.Runner] != r {
		return false
	}
	if len(r.conns) >= r.hello.Slots {
		if len(r.idle) == 0 {
			return false
		}
		oldest := r.idle[0]
		r.idle = slices.Delete(r.idle, 0, 1)
		o.drop(oldest)
	}
	r.conns[c] = struct{}{}
	r.idle = append(r.idle, c)
	r.parked = true
	o.offer(r)
	return true
}

// reported notes that the runner has reported an invocation. It returns whether the event is about a call of this
// gateway.
func (r *runner) reported(e *task.Event) bool {
	s := r.claimed[e.Invocation]
	if s != nil && s.unreported {
		s.unreported = false
		r.pending--
	}
	ours := s != nil || r.lateEvents[e.Invocation]
	if e.Kind == task.EventEnded || e.Kind == task.EventReleased {
		delete(r.lateEvents, e.Invocation)
	}
	return ours
}

// apply updates what the hub knows of the runner by an event.
func (o *roster) apply(r *runner, e *task.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.free = min(max(e.Free, 0), r.hello.Slots)
	ours := e.Invocation != "" && r.reported(e)
	switch e.Kind {
	case task.EventTaken, task.EventRunning:
		o.setOwner(r, e.Invocation, confirmed)
		switch {
		case !ours:
			r.justFreed = 0 // the other gateway may have got one of those slots: trust free alone
		case e.Kind == task.EventRunning:
			r.advance(e.Invocation, running)
		}
	case task.EventReleased:
		o.removeOwner(r, e.Invocation)
	case task.EventDraining, task.EventStartFailed:
		r.draining = true
		o.dropIdle(r)
	case task.EventSlots:
		if e.Owned != nil {
			o.syncHeld(r, set(e.Owned))
		}
	case task.EventEnded: // for a short call, the runner may send no other event
		o.setOwner(r, e.Invocation, confirmed)
		r.advance(e.Invocation, ended)
	case task.EventInputStored, task.EventStored:
	}
	o.offer(r)
}

// advance sets the phase of a call of this gateway.
func (r *runner) advance(id faas.InvocationID, p phase) {
	if s := r.claimed[id]; s != nil {
		s.conn.advance(p)
	}
}

func set(ids []faas.InvocationID) map[faas.InvocationID]bool {
	s := make(map[faas.InvocationID]bool, len(ids))
	for _, id := range ids {
		s[id] = true
	}
	return s
}
