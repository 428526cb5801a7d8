package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/internal/blob"
	"davit/internal/faas"
)

const (
	sweepEvery   = 10 * time.Second
	sweepBatch   = 100
	sweepAtOnce  = 8 // a store takes its time for each object, and calls may come fast
	uploadsEvery = 5 * time.Minute
	uploadIdle   = 50 * time.Minute // after which an upload in parts is abandoned; gone within the hour
)

// runSweep removes what has outlived its retention, first the objects, then the record,
// and uploads that nobody will complete.
func (d *Dispatcher) runSweep(ctx context.Context) error {
	tick, uploads := time.NewTicker(sweepEvery), time.NewTicker(uploadsEvery)
	defer tick.Stop()
	defer uploads.Stop()
	d.sweepUploads(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.sweep(ctx)
		case <-uploads.C:
			d.sweepUploads(ctx)
		}
	}
}

// sweepUploads forgets uploads in parts whose gateway or runner died over them.
func (d *Dispatcher) sweepUploads(ctx context.Context) {
	store, is := d.Signer.(blob.UploadSweeper)
	if !is {
		return
	}
	n, err := store.SweepUploads(ctx, d.Now().Add(-uploadIdle))
	if n > 0 {
		d.Logger.Info("swept abandoned uploads", "uploads", n)
	}
	if err != nil && ctx.Err() == nil {
		d.Logger.Warn("sweep abandoned uploads; trying again", "error", err)
	}
}

func (d *Dispatcher) sweep(ctx context.Context) {
	for {
		due, err := d.Archive.ExpiredInvocations(ctx, d.Now(), sweepBatch)
		due = slices.DeleteFunc(due, d.isHeld) // its runner has yet to store what would be left behind
		if err != nil || len(due) == 0 {
			return
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(sweepAtOnce)
		for _, inv := range due {
			g.Go(func() error {
				if err := d.remove(ctx, inv); err != nil {
					return fmt.Errorf("remove expired invocation %s: %w", inv.ID, err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			d.Logger.Warn("sweep; trying again", "error", err)
			return
		}
	}
}

func (d *Dispatcher) isHeld(inv *faas.Invocation) bool {
	_, held := d.hub.Owner(inv.ID)
	return held
}

// remove removes an invocation: its objects, then its record. A runner that is out of touch may store something
// later, while its signed URLs live: what comes then is removed when they have ended.
func (d *Dispatcher) remove(ctx context.Context, inv *faas.Invocation) error {
	for info, err := range d.Objects.List(ctx, "invocations/"+string(inv.ID)+"/", "") {
		if err != nil {
			return err
		}
		if err := d.Objects.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	var again time.Time
	if inv.EndedAt != nil && inv.Inner != nil {
		if signed := inv.EndedAt.Add(d.signedFor(inv.Inner.Timeout)); signed.After(d.Now()) {
			again = signed
		}
	}
	return d.Archive.DeleteInvocation(ctx, inv.ID, again)
}
