package hub

import (
	"container/list"
	"maps"
	"slices"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// runner is what the hub knows of one runner. Hub.mu guards it, save hello and pool.
//
// Its slots are offered only while its control connection stands: what happens to
// them is heard there. It stays known for a while after it left, so that one that
// comes back can be asked what became of what it held.
type runner struct {
	hello     task.Hello // without Held and Free
	pool      *pool
	control   *control // nil: not connected
	latest    *control // the last that came, perhaps still waiting for the one before it to be gone
	since     time.Time
	free      int // as told last
	pending   int // claims of this gateway that what was told last did not know of
	fresh     int // slots that own calls just freed, whatever an event says that was sent before
	draining  bool
	parked    bool                        // it was ready once
	announced bool                        // the observer knows that
	conns     map[*conn]struct{}          // all, idle or in use
	idle      []*conn                     // the last used last
	own       map[faas.InvocationID]*Slot // claimed by this gateway
	late      map[faas.InvocationID]bool  // own calls that were over before the events about them came
	held      map[faas.InvocationID]bool
	place     *list.Element // in its lane's list of those that can offer
}

// held's values: whether the runner itself said so in this connection's events or
// hello. Until then it is held by what this gateway sent, and only an answer about
// that very invocation tells that it is not.
const (
	assumed   = false
	confirmed = true
)

// offers returns how many of its idle connections a claim may have now. Other
// gateways' calls show only in free; this gateway's own also in the connections.
func (r *runner) offers() int {
	if r.control == nil || r.draining {
		return 0
	}
	return min(r.open(), len(r.idle))
}

// open returns how many slots are free, as far as can be known here.
func (r *runner) open() int {
	return max(r.free-r.pending, r.fresh)
}

// known returns the runner of a hello, new or not, or a refusal.
func (h *Hub) known(hello *task.Hello) (*runner, error) {
	if r := h.runners[hello.Runner]; r != nil {
		if r.hello.Ref() != hello.Ref() || r.hello.Start != hello.Start ||
			r.hello.Invocation != hello.Invocation || r.hello.Slots != hello.Slots {
			return nil, refuse(statusFinal, "runner id %q is taken by another runner", hello.Runner)
		}
		return r, nil
	}
	if h.closed {
		return nil, refuse(statusLater, "the gateway is shutting down")
	}
	p := h.pool(hello.Ref())
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
	h.runners[hello.Runner] = r
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
func (h *Hub) forget(r *runner, now time.Time) {
	away := now.Sub(r.since)
	if r.control != nil || away < controlGrace {
		return
	}
	h.dropIdle(r)
	if away < forgetAfter && len(r.held) > 0 || len(r.conns) > 0 {
		return
	}
	for id := range r.held {
		h.unhold(r, id)
	}
	maps.DeleteFunc(h.doubts, func(_ faas.InvocationID, d doubt) bool { return d.runner == r })
	delete(h.runners, r.hello.Runner)
	if r.pool.jobs[r.hello.Invocation] == r {
		delete(r.pool.jobs, r.hello.Invocation)
	}
	delete(r.pool.runners, r)
	h.tidy(r.pool)
}

// arrive makes the control connection the runner's, and takes over what it holds.
func (h *Hub) arrive(r *runner, c *control, hello *task.Hello) {
	h.mu.Lock()
	defer h.mu.Unlock()
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
	h.resync(r, now)
	for id := range now {
		if o := h.holders[id]; o == nil || o == r || o.control == nil { // else a later attempt has it
			h.hold(r, id, confirmed)
		}
	}
	for id, d := range h.doubts {
		if d.runner == r {
			h.answer(id, false)
		}
	}
	h.offer(r)
}

// depart ends what arrive began and returns what the runner was last known to hold.
func (h *Hub) depart(r *runner) []faas.InvocationID {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.control, r.since = nil, time.Now()
	h.dropIdle(r)
	r.pool.rank(r)
	return slices.Sorted(maps.Keys(r.held))
}

// release lets go of a connection that is over: the runner is known for longer.
func (h *Hub) release(r *runner, c *control) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.latest == c {
		r.latest = nil
	}
}

// dropIdle closes the idle connections: nothing tells any more whether they are good.
func (h *Hub) dropIdle(r *runner) {
	for _, c := range r.idle {
		h.drop(c)
	}
	r.idle = nil
}

// drop closes a connection that is not among the idle ones any more.
func (h *Hub) drop(c *conn) {
	_ = c.net.Close()
	delete(c.runner.conns, c)
	c.runner.pool.rank(c.runner)
}

// firstParked reports, once, that the runner has parked.
func (h *Hub) firstParked(r *runner) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !r.announced
	r.announced = true
	return first
}

// park lists a connection as idle. One more than the runner has slots replaces an
// idle one, which must be dead; if there is none the new one is refused.
func (h *Hub) park(r *runner, c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.runners[r.hello.Runner] != r {
		return false
	}
	if len(r.conns) >= r.hello.Slots {
		if len(r.idle) == 0 {
			return false
		}
		oldest := r.idle[0]
		r.idle = slices.Delete(r.idle, 0, 1)
		h.drop(oldest)
	}
	r.conns[c] = struct{}{}
	r.idle = append(r.idle, c)
	r.parked = true
	h.offer(r)
	return true
}

// back parks a slot's connection again. A slot that was used is free for another call
// at once, before any event says so.
func (h *Hub) back(s *Slot, used bool) {
	c, r := s.conn, s.conn.runner
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.end() {
		return
	}
	if h.closed || r.control == nil || r.draining {
		h.drop(c)
		return
	}
	c.rest()
	r.idle = append(r.idle, c)
	if used {
		r.fresh = min(r.fresh+1, len(r.idle))
	}
	h.offer(r)
	r.pool.prefer(r)
}

// discard closes a slot's connection.
func (h *Hub) discard(s *Slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.end() {
		h.drop(s.conn)
		h.offer(s.conn.runner)
	}
}

// end reports whether the slot was not over yet, and makes it so.
func (s *Slot) end() bool {
	if s.over {
		return false
	}
	s.over = true
	r := s.conn.runner
	if r.own[s.invocation] == s {
		delete(r.own, s.invocation)
	}
	if s.untold {
		s.untold = false
		r.pending--
		if s.conn.wasTaken() {
			r.late[s.invocation] = true
		}
	}
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
func (h *Hub) happened(r *runner, e *task.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.free = min(max(e.Free, 0), r.hello.Slots)
	ours := e.Invocation != "" && r.told(e)
	switch e.Kind {
	case task.EventTaken, task.EventRunning:
		h.hold(r, e.Invocation, confirmed)
		switch {
		case !ours:
			r.fresh = 0 // which slot the other gateway got, only free tells
		case e.Kind == task.EventRunning:
			r.advance(e.Invocation, running)
		}
	case task.EventReleased:
		h.unhold(r, e.Invocation)
	case task.EventDraining, task.EventStartFailed:
		r.draining = true
		h.dropIdle(r)
	case task.EventSlots:
		if e.Held != nil {
			h.resync(r, set(e.Held))
		}
	case task.EventEnded: // it may be all that is told of a short call
		h.hold(r, e.Invocation, confirmed)
		r.advance(e.Invocation, ended)
	case task.EventInputStored, task.EventStored:
	}
	h.offer(r)
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
