package hub

import (
	"context"
	"time"

	"davit/internal/faas"
)

// setOwner makes the runner the owner of an invocation, unless a runner of another revision owns it.
func (o *roster) setOwner(r *runner, id faas.InvocationID, sure bool) {
	if id == "" {
		return
	}
	if other := o.owners[id]; other != nil && other != r {
		if other.hello.Ref() != r.hello.Ref() {
			return
		}
		delete(other.held, id)
	}
	o.owners[id] = r
	r.held[id] = r.held[id] || sure
	if r.control != nil {
		o.endOwnerWait(id, false)
	}
}

// assumeOwner makes the runner the owner before it has confirmed that: the end of the invocation's body is about to be
// sent to it.
func (o *roster) assumeOwner(r *runner, id faas.InvocationID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.setOwner(r, id, assumed)
}

// markInDoubt notes that only the runner knows the outcome of an invocation.
func (o *roster) markInDoubt(r *runner, id faas.InvocationID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inDoubt[id] = inDoubt{r, time.Now()}
}

// removeOwner notes that the runner does not own the invocation.
func (o *roster) removeOwner(r *runner, id faas.InvocationID) {
	delete(r.held, id)
	if o.owners[id] == r {
		delete(o.owners, id)
		o.endOwnerWait(id, true)
	}
}

// syncHeld removes the invocations that the runner has confirmed before and does not list now. Invocations that it has
// not confirmed stay: the runner may have taken them after it made the list.
func (o *roster) syncHeld(r *runner, now map[faas.InvocationID]bool) {
	for id, sure := range r.held {
		if sure && !now[id] {
			o.removeOwner(r, id)
		}
	}
}

// Owner returns the connected runner that owns the invocation.
func (h *Hub) Owner(id faas.InvocationID) (faas.RunnerID, bool) {
	r, _ := h.roster.owner(id)
	if r == nil {
		return "", false
	}
	return r.hello.Runner, true
}

// owner returns the connected runner that owns the invocation, and the runner's control connection, or nil.
func (o *roster) owner(id faas.InvocationID) (*runner, *control) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.connectedOwner(id)
}

func (o *roster) connectedOwner(id faas.InvocationID) (*runner, *control) {
	if r := o.owners[id]; r != nil && r.control != nil {
		return r, r.control
	}
	return nil, nil
}

// waitForOwner waits until the invocation's owner is connected, or the runner that an invocation in doubt was sent to.
// ErrGone: the runner does not own the invocation any more.
func (o *roster) waitForOwner(ctx context.Context, id faas.InvocationID) (*runner, *control, error) {
	for {
		o.mu.Lock()
		r, c := o.connectedOwner(id)
		if d := o.inDoubt[id]; r == nil && d.runner != nil && d.runner.control != nil {
			r, c = d.runner, d.runner.control
		}
		if r != nil {
			o.mu.Unlock()
			return r, c, nil
		}
		s := o.ownerWaits[id]
		if s == nil {
			s = &ownerWait{found: make(chan struct{})}
			o.ownerWaits[id] = s
		}
		s.waiters++
		o.mu.Unlock()
		select {
		case <-s.found:
			if s.gone {
				return nil, nil, ErrGone
			}
		case <-ctx.Done():
			o.leaveOwnerWait(id, s)
			return nil, nil, ctx.Err()
		}
	}
}

func (o *roster) leaveOwnerWait(id faas.InvocationID, s *ownerWait) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.waiters--; s.waiters == 0 && o.ownerWaits[id] == s {
		delete(o.ownerWaits, id)
	}
}
