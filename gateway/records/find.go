package records

import (
	"context"
	"time"

	"davit/internal/faas"
)

// Find returns an invocation's record; NotFound if there is none. With wait > 0 it waits until the record is final, at
// most so long. The record of a call whose caller has the result is final, if Redis is well: it agrees with what the
// caller got.
func (r *Reader) Find(ctx context.Context, id faas.InvocationID, wait time.Duration) (*faas.Invocation, error) {
	if view, leads := r.o.Calls.View(id); leads && view.Answered {
		wait = max(wait, settleSoon)
	}
	inv, err := r.o.Calls.Find(ctx, id)
	if err != nil || wait <= 0 {
		return inv, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for !inv.State.Final() {
		changed := r.o.Calls.Changed()
		if inv, err = r.newer(ctx, id, inv); err != nil || inv.State.Final() {
			return inv, err
		}
		select {
		case <-ctx.Done():
			return inv, nil
		case <-changed:
		case <-time.After(waitPoll):
		}
	}
	return inv, nil
}

// newer returns the record, or the last known one if ctx has ended.
func (r *Reader) newer(ctx context.Context, id faas.InvocationID, last *faas.Invocation) (*faas.Invocation, error) {
	inv, err := r.o.Calls.Find(ctx, id)
	if err != nil && ctx.Err() != nil {
		return last, nil
	}
	return inv, err
}
