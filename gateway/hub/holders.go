package hub

import (
	"context"
	"time"

	"davit/internal/faas"
)

// doubt is an invocation whose connection broke after its commit: its runner is the
// one to ask, even when it has let go of it meanwhile.
type doubt struct {
	runner *runner
	since  time.Time
}

// seeker is what those wait on who attach to an invocation that no connected runner holds.
type seeker struct {
	found chan struct{} // closed when a runner holds it, or said that it does not any more
	gone  bool          // the latter; read after found is closed
	waits int
}

// hold notes that the runner holds an invocation. One that another revision's
// runner holds it cannot take over.
func (h *Hub) hold(r *runner, id faas.InvocationID, sure bool) {
	if id == "" {
		return
	}
	if other := h.holders[id]; other != nil && other != r {
		if other.hello.Ref() != r.hello.Ref() {
			return
		}
		delete(other.held, id)
	}
	h.holders[id] = r
	r.held[id] = r.held[id] || sure
	if r.control != nil {
		h.answer(id, false)
	}
}

// assume notes that the runner was sent the end of an invocation's body.
func (h *Hub) assume(r *runner, id faas.InvocationID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hold(r, id, assumed)
}

// doubt notes that only the runner knows what became of an invocation.
func (h *Hub) doubt(r *runner, id faas.InvocationID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubts[id] = doubt{r, time.Now()}
}

// unhold notes that the runner does not hold an invocation.
func (h *Hub) unhold(r *runner, id faas.InvocationID) {
	delete(r.held, id)
	if h.holders[id] == r {
		delete(h.holders, id)
		h.answer(id, true)
	}
}

// resync lets go of what the runner does not hold any more. What it has not spoken
// of yet is not meant: it may have been taken after the list was made.
func (h *Hub) resync(r *runner, now map[faas.InvocationID]bool) {
	for id, sure := range r.held {
		if sure && !now[id] {
			h.unhold(r, id)
		}
	}
}

func (h *Hub) answer(id faas.InvocationID, gone bool) {
	if s := h.seekers[id]; s != nil {
		s.gone = gone
		close(s.found)
		delete(h.seekers, id)
	}
}

// Owner returns the connected runner that holds the invocation.
func (h *Hub) Owner(id faas.InvocationID) (faas.RunnerID, bool) {
	r, _ := h.holder(id)
	if r == nil {
		return "", false
	}
	return r.hello.Runner, true
}

// holder returns the connected runner that holds the invocation and its control
// connection, or nil.
func (h *Hub) holder(id faas.InvocationID) (*runner, *control) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connectedHolder(id)
}

func (h *Hub) connectedHolder(id faas.InvocationID) (*runner, *control) {
	if r := h.holders[id]; r != nil && r.control != nil {
		return r, r.control
	}
	return nil, nil
}

// seek waits until a runner is connected that holds the invocation, or that is the
// one to ask, or that said that it does not hold it: ErrGone.
func (h *Hub) seek(ctx context.Context, id faas.InvocationID) (*runner, *control, error) {
	for {
		h.mu.Lock()
		r, c := h.connectedHolder(id)
		if d := h.doubts[id]; r == nil && d.runner != nil && d.runner.control != nil {
			r, c = d.runner, d.runner.control
		}
		if r != nil {
			h.mu.Unlock()
			return r, c, nil
		}
		s := h.seekers[id]
		if s == nil {
			s = &seeker{found: make(chan struct{})}
			h.seekers[id] = s
		}
		s.waits++
		h.mu.Unlock()
		select {
		case <-s.found:
			if s.gone {
				return nil, nil, ErrGone
			}
		case <-ctx.Done():
			h.unseek(id, s)
			return nil, nil, ctx.Err()
		}
	}
}

func (h *Hub) unseek(id faas.InvocationID, s *seeker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.waits--; s.waits == 0 && h.seekers[id] == s {
		delete(h.seekers, id)
	}
}
