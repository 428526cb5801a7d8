package dispatch

import (
	"sync"
	"time"

	"davit/internal/faas"
)

// waiting counts the calls of each function that wait for a slot.
type waiting struct {
	queued func(delta int) // the meter's

	mu    sync.Mutex
	calls map[faas.InvocationID]bool
	count map[faas.FunctionName]int
}

func newWaiting(queued func(delta int)) *waiting {
	return &waiting{queued: queued, calls: make(map[faas.InvocationID]bool), count: make(map[faas.FunctionName]int)}
}

// enter counts a call, unless its function's queue is full. An accepted call is never refused. A call that is counted
// already stays so.
func (w *waiting) enter(c *call) error {
	name, accepted := c.rev.Function, c.record().Inner.Accepted
	w.mu.Lock()
	counted := w.calls[c.id]
	full := !counted && !accepted && w.count[name] >= c.rev.Spec.MaxQueue.Calls
	if !counted && !full {
		w.calls[c.id] = true
		w.count[name]++
	}
	w.mu.Unlock()
	if full {
		return &faas.Error{
			Kind: faas.Limited, RetryAfter: time.Second,
			Detail: "the queue of function " + string(name) + " is full (max_queue.calls); try again later",
		}
	}
	if !counted {
		w.queued(1)
	}
	return nil
}

// exit ends what enter began; it is harmless when the call is not counted.
func (w *waiting) exit(c *call) {
	w.mu.Lock()
	counted := w.calls[c.id]
	if counted {
		delete(w.calls, c.id)
		if w.count[c.rev.Function]--; w.count[c.rev.Function] == 0 {
			delete(w.count, c.rev.Function)
		}
	}
	w.mu.Unlock()
	if counted {
		w.queued(-1)
	}
}

func (w *waiting) has(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[c.id]
}
