package dispatch

import (
	"context"
	"time"

	"davit/gateway/faas"
)

// place is a job's place among max_concurrency, held while it runs.
type place struct {
	fn faas.FunctionName
}

const (
	placePoll    = 20 * time.Millisecond
	placePollMax = 500 * time.Millisecond
)

// takePlace waits until the function may run one more job.
func (d *Dispatcher) takePlace(ctx context.Context, c *call) error {
	for pause := placePoll; ; pause = min(2*pause, placePollMax) {
		ok, err := d.Places.AcquirePlace(ctx, c.rev.Function, c.id, c.rev.Spec.MaxConcurrency, d.Now().Add(d.Limits.Lease))
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if ok {
			d.mu.Lock()
			d.places[c.id] = place{fn: c.rev.Function}
			d.mu.Unlock()
			return nil
		}
		heard := d.whenSettled()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-heard:
			pause = placePoll
		case <-time.After(pause):
		}
	}
}

// freePlace gives a job's place back; it is harmless when there is none.
func (d *Dispatcher) freePlace(id faas.InvocationID) {
	d.mu.Lock()
	p, held := d.places[id]
	delete(d.places, id)
	d.mu.Unlock()
	if !held {
		return
	}
	d.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(d.base), 5*time.Second)
		defer cancel()
		if err := d.Places.ReleasePlace(ctx, p.fn, id); err != nil {
			d.Logger.Warn("give back a job's place; its lease ends by itself", "invocation", id, "error", err)
		}
		d.announce()
	})
}

// whenSettled is closed when something settles or a place is freed.
func (d *Dispatcher) whenSettled() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.heard
}

func (d *Dispatcher) announce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.heard)
	d.heard = make(chan struct{})
}
