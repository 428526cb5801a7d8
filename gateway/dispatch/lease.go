package dispatch

import (
	"context"
	"time"

	"davit/internal/faas"
)

// runLeases renews what this gateway leads: accepted invocations and jobs' places.
func (d *Dispatcher) runLeases(ctx context.Context) error {
	tick := time.NewTicker(d.Limits.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			d.releaseLeases(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			d.renew(ctx)
		}
	}
}

func (d *Dispatcher) renew(ctx context.Context) {
	until := d.Now().Add(d.Limits.Lease)
	if ids := d.accepted(); len(ids) > 0 {
		lost, err := d.Queue.Renew(ctx, d.Gateway, ids, until)
		if err != nil {
			d.Logger.Warn("renew the leases of accepted invocations", "error", err)
		}
		for _, id := range lost {
			if c := d.find(id); c != nil && !c.isFinal() {
				d.yield(c)
			}
		}
	}
	for fn, ids := range d.heldPlaces() {
		if err := d.Places.RenewPlaces(ctx, fn, ids, until); err != nil {
			d.Logger.Warn("renew the places of running jobs", "function", fn, "error", err)
		}
	}
}

// releaseLeases lets another gateway take over at once.
func (d *Dispatcher) releaseLeases(ctx context.Context) {
	ids := d.accepted()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := d.Queue.ReleaseLeases(ctx, d.Gateway, ids); err != nil {
		d.Logger.Warn("release the leases of accepted invocations; they run out by themselves", "error", err)
	}
}

func (d *Dispatcher) accepted() []faas.InvocationID {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []faas.InvocationID
	for id, c := range d.calls {
		if inv := c.current(); inv.Inner.Accepted && !inv.State.Final() {
			ids = append(ids, id)
		}
	}
	return ids
}

func (d *Dispatcher) heldPlaces() map[faas.FunctionName][]faas.InvocationID {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := make(map[faas.FunctionName][]faas.InvocationID)
	for id, p := range d.places {
		held[p.fn] = append(held[p.fn], id)
	}
	return held
}
