package dispatch

import (
	"context"
	"errors"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// Cancel ends an invocation in whatever state it is, on whichever gateway; it
// returns the record as it was when the cancel was on its way. One that is final is a Conflict.
func (d *Dispatcher) Cancel(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	inv, err := d.Find(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	if inv.State.Final() {
		return nil, &faas.Error{Kind: faas.Conflict, Detail: "the invocation has ended already: " + string(inv.State), Invocation: inv}
	}
	if c := d.find(id); c != nil {
		d.cancelLed(ctx, c)
		return c.snapshot(), nil
	}
	marked, err := d.Records.UpdateInvocation(ctx, id, func(i *faas.Invocation) error {
		if i.Inner == nil {
			i.Inner = &faas.Inner{}
		}
		i.Inner.Cancelled = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := d.cancelHeld(ctx, id); err == nil {
		return marked, nil
	}
	return marked, d.Gateways.PublishCancel(ctx, id)
}

// CancelHeard acts on a cancel that another gateway published.
func (d *Dispatcher) CancelHeard(id faas.InvocationID) {
	if c := d.find(id); c != nil {
		d.background(func(ctx context.Context) { d.cancelLed(ctx, c) })
	}
}

// cancelLed ends a call that this gateway leads: its wait, or its command.
func (d *Dispatcher) cancelLed(ctx context.Context, c *call) {
	c.change(func(i *faas.Invocation) { i.Inner.Cancelled = true })
	c.cancel(errCancelled)
	if !c.isCommitted() {
		return
	}
	if err := d.cancelHeld(ctx, c.id); err != nil {
		d.Logger.Info("cancel an invocation whose runner is away; again when it is back", "invocation", c.id, "error", err)
		d.background(func(ctx context.Context) { d.cancelLater(ctx, c) })
	}
}

// cancelLater tries until the runner has heard of it or the call has ended.
func (d *Dispatcher) cancelLater(ctx context.Context, c *call) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ended.done:
			return
		case <-tick.C:
			if d.cancelHeld(ctx, c.id) == nil {
				return
			}
		}
	}
}

func (d *Dispatcher) cancelHeld(ctx context.Context, id faas.InvocationID) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := d.hub.Cancel(ctx, id)
	if errors.Is(err, hub.ErrGone) {
		return nil
	}
	return err
}

// cancelWhenGone cancels a call whose caller hangs up, where the trigger says so,
// until what it returns is called.
func (d *Dispatcher) cancelWhenGone(ctx context.Context, c *call) (stop func()) {
	if c.req.Gone == nil || c.trigger.OnDisconnect != faas.DisconnectCancel {
		return func() {}
	}
	over := make(chan struct{})
	d.work.Go(func() {
		select {
		case <-c.req.Gone:
			d.cancelLed(context.WithoutCancel(ctx), c)
		case <-over:
		}
	})
	return func() { close(over) }
}
