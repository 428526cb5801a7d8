package hub

import (
	"context"
	"fmt"

	"davit/internal/sock"
	"davit/internal/task"
)

// TryClaim takes a free slot, or returns nil. Those who wait in Claim come first.
func (h *Hub) TryClaim(want Want) *Slot {
	for {
		h.roster.mu.Lock()
		s := h.roster.take(&want)
		h.roster.mu.Unlock()
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
	h.roster.mu.Lock()
	s := h.roster.take(want)
	if s != nil {
		h.roster.mu.Unlock()
		return s, nil
	}
	w := h.roster.wait(want, again)
	h.roster.mu.Unlock()
	select {
	case s = <-w.got:
		return s, nil
	case <-ctx.Done():
	}
	h.roster.mu.Lock()
	p := h.roster.pools[want.Ref]
	waited := p != nil && p.strike(w)
	if waited {
		h.roster.tidy(p)
	}
	h.roster.mu.Unlock()
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
	s.roster.discard(s)
	return false
}

// Runner returns what the slot's runner said of itself, without what it holds.
func (s *Slot) Runner() task.Hello { return s.conn.runner.hello }

// Release gives a slot back that was not used. After Invoke it does nothing.
func (s *Slot) Release() {
	if s.used.CompareAndSwap(false, true) {
		s.roster.back(s, false)
	}
}

// back parks a slot's connection again. A slot that was used is free for another call
// at once, before any event says so.
func (o *roster) back(s *Slot, used bool) {
	c, r := s.conn, s.conn.runner
	o.mu.Lock()
	defer o.mu.Unlock()
	if !s.end() {
		return
	}
	if o.closed || r.control == nil || r.draining {
		o.drop(c)
		return
	}
	c.rest()
	r.idle = append(r.idle, c)
	if used {
		r.fresh = min(r.fresh+1, len(r.idle))
	}
	o.offer(r)
	r.pool.prefer(r)
}

// discard closes a slot's connection.
func (o *roster) discard(s *Slot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.end() {
		o.drop(s.conn)
		o.offer(s.conn.runner)
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
