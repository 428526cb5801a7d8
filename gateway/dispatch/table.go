package dispatch

import (
	"sync"

	"davit/internal/faas"
	"davit/internal/signal"
)

// calls is the table of the calls that this gateway leads. Lock order: calls.mu, then call.mu.
type calls struct {
	changed signal.Broadcast // sent when an invocation has changed anywhere, or a permit was freed

	mu       sync.Mutex
	stopping bool
	byID     map[faas.InvocationID]*call
}

func newCalls() *calls { return &calls{byID: make(map[faas.InvocationID]*call)} }

// find returns the call, or nil if this gateway does not lead it.
func (t *calls) find(id faas.InvocationID) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

func (t *calls) add(c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[c.id] = c
}

// forget removes a closed call, and ends its contexts, else their parent would keep them.
func (t *calls) forget(c *call) {
	c.to(closed)
	c.unwant(errEnded)
	c.decide()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[c.id] == c {
		delete(t.byID, c.id)
	}
}

// which returns the calls for which holds returns true. holds must not take a step.
func (t *calls) which(holds func(*call) bool) []*call {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*call
	for _, c := range t.byID {
		if holds(c) {
			all = append(all, c)
		}
	}
	return all
}

// close refuses new calls from now on.
func (t *calls) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopping = true
}

func (t *calls) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopping
}

// accepted returns the accepted invocations that are not final.
func (t *calls) accepted() []faas.InvocationID {
	open := t.which(func(c *call) bool {
		inv := c.record()
		return inv.Inner.Accepted && !inv.State.Final()
	})
	return idsOf(open)
}

// running counts the calls whose command runs, or whose end is not in Redis yet.
func (t *calls) running() int {
	return len(t.which(func(c *call) bool { return c.was(committed) && !c.was(recorded) }))
}

func idsOf(all []*call) []faas.InvocationID {
	ids := make([]faas.InvocationID, len(all))
	for i, c := range all {
		ids[i] = c.id
	}
	return ids
}
