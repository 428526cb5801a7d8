package dispatch

import (
	"context"
	"time"
)

// Drain refuses new calls and lets those that run come to their end, for at
// most Limits.Drain; callers that still wait then get their 202 where that can
// be made safe.
func (d *Dispatcher) Drain(ctx context.Context) {
	d.mu.Lock()
	d.stopping = true
	waiting := make([]*call, 0, len(d.calls))
	for _, c := range d.calls {
		if !c.current().State.Final() && !c.isCommitted() {
			waiting = append(waiting, c)
		}
	}
	for f := range d.firsts {
		f.cancel(errShutdown)
	}
	d.mu.Unlock()
	for _, c := range waiting {
		c.cancel(errShutdown)
	}
	d.scaler.wake()
	ctx, cancel := context.WithTimeout(ctx, d.Limits.Drain)
	defer cancel()
	for d.running() > 0 {
		heard := d.whenSettled()
		select {
		case <-ctx.Done():
			return
		case <-heard:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// running counts the calls led here whose command runs.
func (d *Dispatcher) running() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, c := range d.calls {
		if c.isCommitted() && !c.isSaved() {
			n++
		}
	}
	return n
}

func (c *call) isSaved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saved
}

func (d *Dispatcher) isStopping() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopping
}
