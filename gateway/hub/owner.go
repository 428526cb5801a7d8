package hub

import (
	"context"
	"time"

	"davit/internal/faas"
)

// hold notes that the runner holds an invocation. One that another revision's
// runner holds it cannot take over.
func (o *roster) hold(r *runner, id faas.InvocationID, sure bool) {
	if id == "" {
		return
	}
	if other := o.holders[id]; other != nil && other != r {
		if other.hello.Ref() != r.hello.Ref() {
			return
		}
		delete(other.held, id)
	}
	o.holders[id] = r
	r.held[id] = r.held[id] || sure
	if r.control != nil {
		o.answer(id, false)
	}
}

// assume notes that the runner was sent the end of an invocation's body.
func (o *roster) assume(r *runner, id faas.InvocationID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hold(r, id, assumed)
}

// doubt notes that only the runner knows what became of an invocation.
func (o *roster) doubt(r *runner, id faas.InvocationID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doubts[id] = doubt{r, time.Now()}
}

// unhold notes that the runner does not hold an invocation.
func (o *roster) unhold(r *runner, id faas.InvocationID) {
	delete(r.held, id)
	if o.holders[id] == r {
		delete(o.holders, id)
		o.answer(id, true)
	}
}

// resync lets go of what the runner does not hold any more. What it has not spoken
// of yet is not meant: it may have been taken after the list was made.
func (o *roster) resync(r *runner, now map[faas.InvocationID]bool) {
	for id, sure := range r.held {
		if sure && !now[id] {
			o.unhold(r, id)
		}
	}
}

// Owner returns the connected runner that holds the invocation.
func (h *Hub) Owner(id faas.InvocationID) (faas.RunnerID, bool) {
	r, _ := h.roster.holder(id)
	if r == nil {
		return "", false
	}
	return r.hello.Runner, true
}

// holder returns the connected runner that holds the invocation and its control
// connection, or nil.
func (o *roster) holder(id faas.InvocationID) (*runner, *control) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.connectedHolder(id)
}

func (o *roster) connectedHolder(id faas.InvocationID) (*runner, *control) {
	if r := o.holders[id]; r != nil && r.control != nil {
		return r, r.control
	}
	return nil, nil
}

// seek waits until a runner is connected that holds the invocation, or that is the
// one to ask, or that said that it does not hold it: ErrGone.
func (o *roster) seek(ctx context.Context, id faas.InvocationID) (*runner, *control, error) {
	for {
		o.mu.Lock()
		r, c := o.connectedHolder(id)
		if d := o.doubts[id]; r == nil && d.runner != nil && d.runner.control != nil {
			r, c = d.runner, d.runner.control
		}
		if r != nil {
			o.mu.Unlock()
			return r, c, nil
		}
		s := o.seekers[id]
		if s == nil {
			s = &seeker{found: make(chan struct{})}
			o.seekers[id] = s
		}
		s.waits++
		o.mu.Unlock()
		select {
		case <-s.found:
			if s.gone {
				return nil, nil, ErrGone
			}
		case <-ctx.Done():
			o.unseek(id, s)
			return nil, nil, ctx.Err()
		}
	}
}

func (o *roster) unseek(id faas.InvocationID, s *seeker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.waits--; s.waits == 0 && o.seekers[id] == s {
		delete(o.seekers, id)
	}
}
