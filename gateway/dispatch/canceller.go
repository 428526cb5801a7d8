package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

const (
	cancelWithin = 5 * time.Second
	cancelEvery  = 200 * time.Millisecond // while the runner is out of touch
)

// canceller cancels calls that this gateway leads.
type canceller struct {
	running Running
	work    *work
	log     *slog.Logger
}

// cancel ends a call: its wait for a slot, or its command.
func (cc *canceller) cancel(ctx context.Context, c *call) {
	c.change(func(i *faas.Invocation) { i.Inner.Cancelled = true })
	c.unwant(errCancelled)
	if !c.was(committed) {
		return
	}
	if err := cc.cancelRunning(ctx, c.id); err != nil {
		cc.log.Info("cancelling an invocation failed, because its runner is out of touch; retrying", "invocation", c.id, "error", err)
		cc.work.start(func(ctx context.Context) { cc.retry(ctx, c) })
	}
}

// retry cancels until the runner was reached or the call has ended.
func (cc *canceller) retry(ctx context.Context, c *call) {
	tick := time.NewTicker(cancelEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.undecided.Done():
			return
		case <-tick.C:
			if cc.cancelRunning(ctx, c.id) == nil {
				return
			}
		}
	}
}

// cancelRunning asks the runner that owns an invocation to end its command.
func (cc *canceller) cancelRunning(ctx context.Context, id faas.InvocationID) error {
	ctx, cancel := context.WithTimeout(ctx, cancelWithin)
	defer cancel()
	err := cc.running.Cancel(ctx, id)
	if errors.Is(err, hub.ErrGone) {
		return nil
	}
	return err
}

// whenGone cancels a call whose caller disconnects, where the trigger says so, until stop is called.
func (cc *canceller) whenGone(ctx context.Context, c *call) (stop func()) {
	if c.request.Gone == nil || c.trigger.OnDisconnect != faas.DisconnectCancel {
		return func() {}
	}
	over := make(chan struct{})
	cc.work.Go(func() {
		select {
		case <-c.request.Gone:
			cc.cancel(context.WithoutCancel(ctx), c)
		case <-over:
		}
	})
	return func() { close(over) }
}
