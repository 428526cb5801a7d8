package hub

import (
	"container/list"

	"davit/internal/faas"
)

func (o *roster) pool(ref faas.RevisionRef) *pool {
	p := o.pools[ref]
	if p == nil {
		p = &pool{
			ref:    ref,
			lanes:  map[faas.Start]*lane{faas.StartStandby: {}, faas.StartWarm: {}},
			jobs:   map[faas.InvocationID]*runner{},
			queued: map[faas.InvocationID]*waiter{},

			runners: map[*runner]struct{}{},
		}
		o.pools[ref] = p
	}
	return p
}

// tidy lets go of a pool that has neither runners nor waiters.
func (o *roster) tidy(p *pool) {
	if len(p.runners) == 0 && p.waiters == 0 {
		delete(o.pools, p.ref)
	}
}

// take pops a slot for the want, or returns nil.
func (o *roster) take(w *Want) *Slot {
	p := o.pools[w.Ref]
	if p == nil {
		return nil
	}
	for _, start := range w.Starts {
		if r := p.ready(start, w.Invocation); r != nil {
			return o.pop(r, w)
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
func (o *roster) pop(r *runner, w *Want) *Slot {
	last := len(r.idle) - 1
	c := r.idle[last]
	r.idle[last] = nil
	r.idle = r.idle[:last]
	r.pending++
	r.fresh = max(r.fresh-1, 0)
	c.uses++
	r.pool.rank(r)
	s := &Slot{roster: o, conn: c, invocation: w.Invocation, untold: true}
	r.own[w.Invocation] = s
	return s
}

// offer hands the runner's free slots to who waits, or lists them for who comes. It
// is called after everything that may have given the runner a slot to offer.
func (o *roster) offer(r *runner) {
	for r.offers() > 0 {
		w := r.pool.next(r)
		if w == nil {
			break
		}
		r.pool.strike(w)
		w.got <- o.pop(r, &w.want)
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
func (o *roster) wait(want *Want, again bool) *waiter {
	p := o.pool(want.Ref)
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
