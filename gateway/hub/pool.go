package hub

import (
	"container/list"

	"davit/internal/faas"
)

// pool knows who may get a slot of one revision: the runners that have one to
// offer, and the claims that wait for one. At any time one of both is empty for
// each start and each job. Hub.mu guards it; every step is O(1).
type pool struct {
	ref     faas.RevisionRef
	lanes   map[faas.Start]*lane // for the runners that take any invocation
	jobs    map[faas.InvocationID]*runner
	queued  map[faas.InvocationID]*waiter // that would take their own job's runner
	runners map[*runner]struct{}          // all
	waiters int                           // with no runners and no waiters the pool goes
}

// lane is the part of a pool for one start.
type lane struct {
	ready   list.List // of *runner that can offer, the last used first: its caches are warm
	waiting list.List // of *waiter, first come first
}

// waiter is one claim that waits. It is in every lane that its want allows.
type waiter struct {
	want  Want
	got   chan *Slot // holds one
	ranks map[*lane]*list.Element
}

func (h *Hub) pool(ref faas.RevisionRef) *pool {
	p := h.pools[ref]
	if p == nil {
		p = &pool{
			ref:    ref,
			lanes:  map[faas.Start]*lane{faas.StartStandby: {}, faas.StartWarm: {}},
			jobs:   map[faas.InvocationID]*runner{},
			queued: map[faas.InvocationID]*waiter{},

			runners: map[*runner]struct{}{},
		}
		h.pools[ref] = p
	}
	return p
}

// tidy lets go of a pool that has neither runners nor waiters.
func (h *Hub) tidy(p *pool) {
	if len(p.runners) == 0 && p.waiters == 0 {
		delete(h.pools, p.ref)
	}
}

// take pops a slot for the want, or returns nil.
func (h *Hub) take(w *Want) *Slot {
	p := h.pools[w.Ref]
	if p == nil {
		return nil
	}
	for _, start := range w.Starts {
		if r := p.ready(start, w.Invocation); r != nil {
			return h.pop(r, w)
		}
	}
	return nil
}

// ready returns a runner that can offer a slot, or nil.
func (p *pool) ready(start faas.Start, id faas.InvocationID) *runner {
	if start == faas.StartJob {
		if r := p.jobs[id]; r != nil && r.offers() > 0 {
			return r
		}
		return nil
	}
	if l := p.lanes[start]; l != nil && l.ready.Len() > 0 {
		return l.ready.Front().Value.(*runner)
	}
	return nil
}

// pop takes the runner's last used connection; the runner offers one.
func (h *Hub) pop(r *runner, w *Want) *Slot {
	last := len(r.idle) - 1
	c := r.idle[last]
	r.idle[last] = nil
	r.idle = r.idle[:last]
	r.pending++
	r.fresh = max(r.fresh-1, 0)
	c.uses++
	r.pool.rank(r)
	s := &Slot{hub: h, conn: c, invocation: w.Invocation, untold: true}
	r.own[w.Invocation] = s
	return s
}

// offer hands the runner's free slots to who waits, or lists them for who comes. It
// is called after everything that may have given the runner a slot to offer.
func (h *Hub) offer(r *runner) {
	for r.offers() > 0 {
		w := r.pool.next(r)
		if w == nil {
			break
		}
		r.pool.strike(w)
		w.got <- h.pop(r, &w.want)
	}
	r.pool.rank(r)
}

// rank puts the runner at the front of its lane's list, or takes it out, when it
// has come to have a slot to offer, or to have none.
func (p *pool) rank(r *runner) {
	l := p.lanes[r.hello.Start]
	switch {
	case l == nil:
	case r.offers() == 0 && r.place != nil:
		l.ready.Remove(r.place)
		r.place = nil
	case r.offers() > 0 && r.place == nil:
		r.place = l.ready.PushFront(r)
	}
}

// prefer moves a runner that was just used to the front.
func (p *pool) prefer(r *runner) {
	if r.place != nil {
		p.lanes[r.hello.Start].ready.MoveToFront(r.place)
	}
}

// next returns who is first to get a slot of this runner, or nil.
func (p *pool) next(r *runner) *waiter {
	if r.hello.Start == faas.StartJob {
		return p.queued[r.hello.Invocation]
	}
	if l := p.lanes[r.hello.Start]; l.waiting.Len() > 0 {
		return l.waiting.Front().Value.(*waiter)
	}
	return nil
}

// wait enters a claim at the end of the lines, or at their front when it is to
// be served again since what it got was dead.
func (h *Hub) wait(want *Want, again bool) *waiter {
	p := h.pool(want.Ref)
	p.waiters++
	w := &waiter{want: *want, got: make(chan *Slot, 1), ranks: map[*lane]*list.Element{}}
	for _, start := range want.Starts {
		l := p.lanes[start]
		switch {
		case l == nil, w.ranks[l] != nil:
		case again:
			w.ranks[l] = l.waiting.PushFront(w)
		default:
			w.ranks[l] = l.waiting.PushBack(w)
		}
		if start == faas.StartJob {
			p.queued[want.Invocation] = w
		}
	}
	return w
}

// strike takes a claim out of the lines and reports whether it still was in them.
func (p *pool) strike(w *waiter) bool {
	was := len(w.ranks) > 0
	for l, e := range w.ranks {
		l.waiting.Remove(e)
		delete(w.ranks, l)
	}
	if p.queued[w.want.Invocation] == w {
		delete(p.queued, w.want.Invocation)
		was = true
	}
	if was {
		p.waiters--
	}
	return was
}
