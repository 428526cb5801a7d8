package hub

import (
	"maps"
	"slices"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// known returns the runner of a hello, new or not, or a refusal.
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
		hello: *hello,
		pool:  p,
		since: time.Now(),
		conns: map[*conn]struct{}{},
		own:   map[faas.InvocationID]*Slot{},
		late:  map[faas.InvocationID]bool{},
		held:  map[faas.InvocationID]bool{},
	}
	r.hello.Held, r.hello.Free = nil, 0
	if hello.Start == faas.StartJob {
		p.jobs[hello.Invocation] = r
	}
	p.runners[r] = struct{}{}
	o.runners[hello.Runner] = r
	return r, nil
}

// admits refuses a new runner that the pool has no place for.
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

// forget lets go of a runner that has been away for long, and of connections that
// never got a control connection beside them.
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
		o.unhold(r, id)
	}
	maps.DeleteFunc(o.doubts, func(_ faas.InvocationID, d doubt) bool { return d.runner == r })
	delete(o.runners, r.hello.Runner)
	if r.pool.jobs[r.hello.Invocation] == r {
		delete(r.pool.jobs, r.hello.Invocation)
	}
	delete(r.pool.runners, r)
	o.tidy(r.pool)
}

// arrive makes the control connection the runner's, and takes over what it holds.
func (o *roster) arrive(r *runner, c *control, hello *task.Hello) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.control, r.since, r.draining = c, time.Now(), false
	r.free, r.fresh = hello.Free, 0
	clear(r.late)
	now := make(map[faas.InvocationID]bool, len(hello.Held))
	for i := range hello.Held {
		held := &hello.Held[i]
		now[held.Record.ID] = true
		switch {
		case held.Ended:
			r.advance(held.Record.ID, ended)
		case held.Record.State == faas.Running:
			r.advance(held.Record.ID, running)
		}
	}
	o.resync(r, now)
	for id := range now {
		if other := o.holders[id]; other == nil || other == r || other.control == nil { // else a later attempt has it
			o.hold(r, id, confirmed)
		}
	}
	for id, d := range o.doubts {
		if d.runner == r {
			o.answer(id, false)
		}
	}
	o.offer(r)
}

// depart ends what arrive began and returns what the runner was last known to hold.
func (o *roster) depart(r *runner) []faas.InvocationID {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.control, r.since = nil, time.Now()
	o.dropIdle(r)
	r.pool.rank(r)
	return slices.Sorted(maps.Keys(r.held))
}

// release lets go of a connection that is over: the runner is known for longer.
func (o *roster) release(r *runner, c *control) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.latest == c {
		r.latest = nil
	}
}

// dropIdle closes the idle connections: nothing tells any more whether they are good.
func (o *roster) dropIdle(r *runner) {
	for _, c := range r.idle {
		o.drop(c)
	}
	r.idle = nil
}

// drop closes a connection that is not among the idle ones any more.
func (o *roster) drop(c *conn) {
	_ = c.net.Close()
	delete(c.runner.conns, c)
	c.runner.pool.rank(c.runner)
}

// firstParked reports, once, that the runner has parked.
func (o *roster) firstParked(r *runner) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := !r.announced
	r.announced = true
	return first
}

// park lists a connection as idle. One more than the runner has slots replaces an
// idle one, which must be dead; if there is none the new one is refused.
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

// told takes note of an event about a call of this gateway, and reports whether it is one.
func (r *runner) told(e *task.Event) bool {
	s := r.own[e.Invocation]
	if s != nil && s.untold {
		s.untold = false
		r.pending--
	}
	ours := s != nil || r.late[e.Invocation]
	if e.Kind == task.EventEnded || e.Kind == task.EventReleased {
		delete(r.late, e.Invocation)
	}
	return ours
}

// happened takes over what an event says.
func (o *roster) happened(r *runner, e *task.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.free = min(max(e.Free, 0), r.hello.Slots)
	ours := e.Invocation != "" && r.told(e)
	switch e.Kind {
	case task.EventTaken, task.EventRunning:
		o.hold(r, e.Invocation, confirmed)
		switch {
		case !ours:
			r.fresh = 0 // which slot the other gateway got, only free tells
		case e.Kind == task.EventRunning:
			r.advance(e.Invocation, running)
		}
	case task.EventReleased:
		o.unhold(r, e.Invocation)
	case task.EventDraining, task.EventStartFailed:
		r.draining = true
		o.dropIdle(r)
	case task.EventSlots:
		if e.Held != nil {
			o.resync(r, set(e.Held))
		}
	case task.EventEnded: // it may be all that is told of a short call
		o.hold(r, e.Invocation, confirmed)
		r.advance(e.Invocation, ended)
	case task.EventInputStored, task.EventStored:
	}
	o.offer(r)
}

// advance notes how far a call of this gateway's is.
func (r *runner) advance(id faas.InvocationID, p phase) {
	if s := r.own[id]; s != nil {
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
