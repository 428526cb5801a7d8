package hub

import (
	"container/list"

	"davit/internal/faas"
)

func (o *roster) pool(ref faas.RevisionRef) *pool {
	p := o.pools[ref]
	if p == nil {
		p = &pool{
			ref:        ref,
			queues:     map[faas.Start]*queue{faas.StartStandby: {}, faas.StartWarm: {}},
			jobs:       map[faas.InvocationID]*runner{},
			jobWaiters: map[faas.InvocationID]*waiter{},

			runners: map[*runner]struct{}{},
		}
		o.pools[ref] = p
	}
	return p
}

// removeIfEmpty removes a pool that has neither runners nor waiters.
func (o *roster) removeIfEmpty(p *pool) {
	if len(p.runners) == 0 && p.waiters == 0 {
		delete(o.pools, p.ref)
	}
}

// claim claims a slot that w allows, or returns nil.
func (o *roster) claim(w *Want) *Slot {
	p := o.pools[w.Ref]
	if p == nil {
		return nil
	}
	for _, start := range w.Starts {
		if r := p.ready(start, w.Invocation); r != nil {
			return o.claimFrom(r, w)
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
	if l := p.queues[start]; l != nil && l.ready.Len() > 0 {
		return l.ready.Front().Value.(*runner)
	}
	return nil
}

// claimFrom claims the runner's last used connection. r.offers() must be above 0.
func (o *roster) claimFrom(r *runner, w *Want) *Slot {
	last := len(r.idle) - 1
	c := r.idle[last]
	r.idle[last] = nil
	r.idle = r.idle[:last]
	r.pending++
	r.justFreed = max(r.justFreed-1, 0)
	c.uses++
	r.pool.updateReady(r)
	s := &Slot{roster: o, conn: c, invocation: w.Invocation, unreported: true}
	r.claimed[w.Invocation] = s
	return s
}

// offer gives the runner's free slots to the claims that wait, and lists the runner as ready if slots are left. It is
// called after each step that may free a slot.
func (o *roster) offer(r *runner) {
	for r.offers() > 0 {
		w := r.pool.next(r)
		if w == nil {
			break
		}
		r.pool.remove(w)
		w.got <- o.claimFrom(r, &w.want)
	}
	r.pool.updateReady(r)
}

// updateReady puts the runner at the front of its queue's ready list if it has a slot to offer, and takes it out if it
// has none.
func (p *pool) updateReady(r *runner) {
	l := p.queues[r.hello.Start]
	switch {
	case l == nil:
	case r.offers() == 0 && r.element != nil:
		l.ready.Remove(r.element)
		r.element = nil
	case r.offers() > 0 && r.element == nil:
		r.element = l.ready.PushFront(r)
	}
}

// prefer moves a runner that was just used to the front.
func (p *pool) prefer(r *runner) {
	if r.element != nil {
		p.queues[r.hello.Start].ready.MoveToFront(r.element)
	}
}

// next returns the claim that is next to get a slot of this runner, or nil.
func (p *pool) next(r *runner) *waiter {
	if r.hello.Start == faas.StartJob {
		return p.jobWaiters[r.hello.Invocation]
	}
	if l := p.queues[r.hello.Start]; l.waiting.Len() > 0 {
		return l.waiting.Front().Value.(*waiter)
	}
	return nil
}

// wait appends a claim to its queues. With again, the slot that the claim got was dead: the claim goes to the front.
func (o *roster) wait(want *Want, again bool) *waiter {
	p := o.pool(want.Ref)
	p.waiters++
	w := &waiter{want: *want, got: make(chan *Slot, 1), elements: map[*queue]*list.Element{}}
	for _, start := range want.Starts {
		l := p.queues[start]
		switch {
		case l == nil, w.elements[l] != nil:
		case again:
			w.elements[l] = l.waiting.PushFront(w)
		default:
			w.elements[l] = l.waiting.PushBack(w)
		}
		if start == faas.StartJob {
			p.jobWaiters[want.Invocation] = w
		}
	}
	return w
}

// remove takes a claim out of its queues and reports whether it was in them.
func (p *pool) remove(w *waiter) bool {
	was := len(w.elements) > 0
	for l, e := range w.elements {
		l.waiting.Remove(e)
		delete(w.elements, l)
	}
	if p.jobWaiters[w.want.Invocation] == w {
		delete(p.jobWaiters, w.want.Invocation)
		was = true
	}
	if was {
		p.waiters--
	}
	return was
}
