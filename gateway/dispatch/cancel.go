package dispatch

import (
	"context"

	"davit/internal/faas"
)

// Cancel ends an invocation in whatever state it is, on whichever gateway. It returns the record as it was when the
// cancel was on its way. An invocation that is final is a Conflict.
func (d *Dispatcher) Cancel(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	if c := d.calls.find(id); c != nil && c.hasAnswered() {
		awaitDecided(ctx, c) // its caller has the result: a cancel comes too late
	}
	inv, err := d.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	if inv.State.Final() {
		return nil, &faas.Error{Kind: faas.Conflict, Detail: "the invocation has ended already: " + string(inv.State), Invocation: inv}
	}
	if c := d.calls.find(id); c != nil {
		d.canceller.cancel(ctx, c)
		return c.snapshot(), nil
	}
	marked, err := d.records.UpdateInvocation(ctx, id, func(i *faas.Invocation) error {
		if i.Inner == nil {
			i.Inner = &faas.Inner{}
		}
		i.Inner.Cancelled = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if d.canceller.cancelRunning(ctx, id) == nil {
		return marked, nil
	}
	return marked, d.publisher.PublishCancel(ctx, id)
}

// CancelLed acts on a cancel that another gateway published.
func (d *Dispatcher) CancelLed(id faas.InvocationID) {
	if c := d.calls.find(id); c != nil {
		d.work.start(func(ctx context.Context) { d.canceller.cancel(ctx, c) })
	}
}

// awaitDecided waits until the end of a call that was answered is known here, too.
func awaitDecided(ctx context.Context, c *call) {
	ctx, cancel := context.WithTimeout(ctx, settleSoon)
	defer cancel()
	select {
	case <-c.undecided.Done():
	case <-ctx.Done():
	}
}
