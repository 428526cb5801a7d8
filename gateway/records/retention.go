package records

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/gateway/objects"
	"davit/internal/faas"
)

const (
	sweepEvery  = 10 * time.Second
	sweepBatch  = 100
	sweepAtOnce = 8 // a store takes time for each object, and calls may come fast
)

// sweep removes the invocations that have outlived their retention.
func (r *Reader) sweep(ctx context.Context) {
	for {
		due, err := r.o.Archive.ExpiredInvocations(ctx, r.o.Now(), sweepBatch)
		due = slices.DeleteFunc(due, r.isOwned) // the runner may still upload
		if err != nil || len(due) == 0 {
			return
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(sweepAtOnce)
		for _, inv := range due {
			g.Go(func() error {
				if err := r.remove(ctx, inv); err != nil {
					return fmt.Errorf("remove expired invocation %s: %w", inv.ID, err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			r.o.Log.Warn("removing expired invocations failed; retrying", "error", err)
			return
		}
	}
}

// isOwned reports whether a connected runner owns the invocation.
func (r *Reader) isOwned(inv *faas.Invocation) bool {
	_, owned := r.o.Logs.Owner(inv.ID)
	return owned
}

// remove removes an invocation: its objects, then its record. A runner that is out of touch may upload later, while its
// signed URLs are valid: these objects are removed when the URLs have expired.
func (r *Reader) remove(ctx context.Context, inv *faas.Invocation) error {
	for info, err := range r.o.Objects.List(ctx, objects.Prefix(inv.ID), "") {
		if err != nil {
			return err
		}
		if err := r.o.Objects.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	var again time.Time
	if inv.EndedAt != nil && inv.Inner != nil {
		if signed := inv.EndedAt.Add(objects.SignedFor(r.o.Grace, inv.Inner.Timeout)); signed.After(r.o.Now()) {
			again = signed
		}
	}
	return r.o.Archive.DeleteInvocation(ctx, inv.ID, again)
}
