package dispatch

import (
	"context"
	"maps"
	"time"

	"davit/internal/faas"
)

// place is a job's place among max_concurrency, held while it runs.
type place struct {
	fn faas.FunctionName
}

const (
	placePoll    = 20 * time.Millisecond
	placePollMax = 500 * time.Millisecond

	giveBackWithin = 5 * time.Second
)

// takePlace waits until the function may run one more job.
func (d *Dispatcher) takePlace(ctx context.Context, c *call) error {
	for pause := placePoll; ; pause = min(2*pause, placePollMax) {
		ok, err := d.acquirePlace(ctx, c)
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

// acquirePlace asks for a place; one that is being given back is asked for after that.
func (d *Dispatcher) acquirePlace(ctx context.Context, c *call) (bool, error) {
	d.mu.Lock()
	_, freed := d.freed[c.id]
	d.mu.Unlock()
	if freed {
		return false, nil
	}
	return d.Places.AcquirePlace(ctx, c.rev.Function, c.id, c.rev.Spec.MaxConcurrency, d.Limits.Runners, d.Now().Add(d.Limits.Lease))
}

// freePlace has a job's place given back soon; it is harmless when there is none.
func (d *Dispatcher) freePlace(id faas.InvocationID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, held := d.places[id]
	if !held {
		return
	}
	delete(d.places, id)
	d.freed[id] = p
	select {
	case d.free <- struct{}{}:
	default:
	}
}

// runPlaces gives places back until ctx ends, and what is left then.
func (d *Dispatcher) runPlaces(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			d.giveBack(context.WithoutCancel(ctx))
			return nil
		case <-d.free:
			d.giveBack(ctx)
		}
	}
}

func (d *Dispatcher) giveBack(ctx context.Context) {
	d.mu.Lock()
	freed := maps.Clone(d.freed)
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, giveBackWithin)
	defer cancel()
	for id, p := range freed {
		if err := d.Places.ReleasePlace(ctx, p.fn, id); err != nil {
			d.Logger.Warn("give back a job's place; its lease ends by itself", "invocation", id, "error", err)
		}
	}
	d.mu.Lock()
	for id := range freed {
		delete(d.freed, id)
	}
	d.mu.Unlock()
	d.announce()
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
