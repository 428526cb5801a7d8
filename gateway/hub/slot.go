package hub

import (
	"context"
	"fmt"

	"davit/internal/sock"
	"davit/internal/task"
)

// TryClaim claims a free slot, or returns nil. Claims that wait in Claim come first.
func (h *Hub) TryClaim(want Want) *Slot {
	for {
		h.roster.mu.Lock()
		s := h.roster.claim(&want)
		h.roster.mu.Unlock()
		if s == nil || s.live() {
			return s
		}
	}
}

// Claim claims a free slot, or waits for one. If ctx ends first, it returns ctx's error. Claims that wait for the same
// revision are served in order.
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
	s := h.roster.claim(want)
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
	waited := p != nil && p.remove(w)
	if waited {
		h.roster.removeIfEmpty(p)
	}
	h.roster.mu.Unlock()
	if !waited { // offer gave the claim a slot at the same moment
		(<-w.got).Release()
	}
	return nil, ctx.Err()
}

// live reports whether the slot's connection is open. If not, live discards the slot.
func (s *Slot) live() bool {
	if sock.Quiet(s.conn.net) {
		return true
	}
	s.roster.discard(s)
	return false
}

// Runner returns the hello of the slot's runner, without Owned and Free.
func (s *Slot) Runner() task.Hello { return s.conn.runner.hello }

// Release frees a slot that was not used. After Invoke it does nothing.
func (s *Slot) Release() {
	if s.used.CompareAndSwap(false, true) {
		s.roster.back(s, false)
	}
}

// back parks a slot's connection again. A slot that was used is free at once, before the runner's event.
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
		r.justFreed = min(r.justFreed+1, len(r.idle))
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

// end ends the slot. It reports false if the slot had ended before.
func (s *Slot) end() bool {
	if s.over {
		return false
	}
	s.over = true
	r := s.conn.runner
	if r.claimed[s.invocation] == s {
		delete(r.claimed, s.invocation)
	}
	if s.unreported {
		s.unreported = false
		r.pending--
		if s.conn.wasTaken() {
			r.lateEvents[s.invocation] = true
		}
	}
	return true
}
