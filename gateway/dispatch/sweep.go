package dispatch

import (
	"context"
	"time"

	"davit/gateway/faas"
)

const (
	sweepEvery = 30 * time.Second
	sweepBatch = 100
)

// runSweep removes what has outlived its retention: first the objects, then the record.
func (d *Dispatcher) runSweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.sweep(ctx)
		}
	}
}

func (d *Dispatcher) sweep(ctx context.Context) {
	for {
		due, err := d.Archive.ExpiredInvocations(ctx, d.Now(), sweepBatch)
		if err != nil || len(due) == 0 {
			return
		}
		for _, inv := range due {
			if err := d.remove(ctx, inv); err != nil {
				d.Logger.Warn("remove an expired invocation; trying again", "invocation", inv.ID, "error", err)
				return
			}
		}
	}
}

func (d *Dispatcher) remove(ctx context.Context, inv *faas.Invocation) error {
	for info, err := range d.Objects.List(ctx, "invocations/"+string(inv.ID)+"/", "") {
		if err != nil {
			return err
		}
		if err := d.Objects.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return d.Archive.DeleteInvocation(ctx, inv.ID)
}
