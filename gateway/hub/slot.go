package hub

import (
	"context"
	"fmt"
	"sync/atomic"

	"davit/internal/faas"
	"davit/internal/sock"
	"davit/internal/task"
)

// Want says which slot a call can use.
type Want struct {
	Ref        faas.RevisionRef
	Invocation faas.InvocationID
	Starts     []faas.Start // in order of preference; a job's runner is claimed by its own invocation only
}

// Slot is a claimed place on a runner, for one Invoke.
type Slot struct {
	hub        *Hub
	conn       *conn
	invocation faas.InvocationID
	used       atomic.Bool // released or invoked
	over       bool        // its connection is back or dropped; guarded by Hub.mu
	untold     bool        // no event has told of it yet; guarded by Hub.mu
}

// TryClaim takes a free slot, or returns nil. Those who wait in Claim come first.
func (h *Hub) TryClaim(want Want) *Slot {
	for {
		h.mu.Lock()
		s := h.take(&want)
		h.mu.Unlock()
		if s == nil || s.live() {
			return s
		}
	}
}

// Claim takes a free slot, or waits for one until ctx ends, and then returns ctx's
// error. Those who wait for the same revision are served in order.
func (h *Hub) Claim(ctx context.Context, want Want) (*Slot, error) {
	for again := false; ; again = true {
		s, err := h.claim(ctx, &want, again)
		if err != nil {
			return nil, fmt.Errorf("claim a slot of %s: %w", want.Ref, err)
		}
		if s.live() {
			return s, nil
		}
	}
}

func (h *Hub) claim(ctx context.Context, want *Want, again bool) (*Slot, error) {
	h.mu.Lock()
	s := h.take(want)
	if s != nil {
		h.mu.Unlock()
		return s, nil
	}
	w := h.wait(want, again)
	h.mu.Unlock()
	select {
	case s = <-w.got:
		return s, nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	p := h.pools[want.Ref]
	waited := p != nil && p.strike(w)
	if waited {
		h.tidy(p)
	}
	h.mu.Unlock()
	if !waited { // it was given a slot at the same moment
		(<-w.got).Release()
	}
	return nil, ctx.Err()
}

// live reports whether the slot's connection still stands; if not, the slot is dropped.
func (s *Slot) live() bool {
	if sock.Quiet(s.conn.net) {
		return true
	}
	s.hub.discard(s)
	return false
}

// Runner returns what the slot's runner said of itself, without what it holds.
func (s *Slot) Runner() task.Hello { return s.conn.runner.hello }

// Release gives a slot back that was not used. After Invoke it does nothing.
func (s *Slot) Release() {
	if s.used.CompareAndSwap(false, true) {
		s.hub.back(s, false)
	}
}
