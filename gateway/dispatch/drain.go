package dispatch

import (
	"context"
	"time"
)

// Drain refuses new calls and lets running ones end, for at most Limits.Drain. Callers that still wait for a slot get a
// 202 where input and record can be stored, else an Unavailable error.
func (d *Dispatcher) Drain(ctx context.Context) {
	d.calls.close()
	for _, c := range d.calls.which(func(c *call) bool { return !c.isFinal() && !c.was(committed) }) {
		c.unwant(errShutdown)
	}
	ctx, cancel := context.WithTimeout(ctx, d.limits.Drain)
	defer cancel()
	for d.calls.running() > 0 {
		changed := d.calls.changed.C()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
}
