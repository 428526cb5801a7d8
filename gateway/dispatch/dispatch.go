package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"davit/gateway/hub"
	"davit/internal/backoff"
	"davit/internal/faas"
)

// settleSoon is within what time an answered call is settled.
const settleSoon = 2 * time.Second

// Dispatcher runs calls. Its methods may be used by many goroutines at once.
type Dispatcher struct {
	gateway   faas.GatewayID
	catalog   Catalog
	running   Running
	records   Records
	publisher Publisher
	meter     Meter
	limits    Limits
	log       *slog.Logger
	now       func() time.Time

	work      *work
	calls     *calls
	recorder  *recorder
	permits   *permits
	waiting   *waiting
	progress  *progress
	launches  *launches
	settler   *settler
	resolver  *resolver
	opener    *opener
	tasks     *tasks
	claimer   *claimer
	acceptor  *acceptor
	driver    *driver
	leases    *leases
	canceller *canceller
}

// Call runs a trigger's command and returns its result, or an accepted reply when the caller asked for that or the wait
// budget ended. The error is a *faas.Error; it carries the invocation once there is one.
func (d *Dispatcher) Call(ctx context.Context, request *faas.Call) (*faas.Reply, error) {
	c, err := d.opener.open(request)
	if err != nil {
		return nil, err
	}
	defer c.leave()
	budget := c.budget()
	if request.Async || budget <= 0 {
		return d.accept(ctx, c)
	}
	if err := c.body.prefetch(); err != nil {
		return nil, d.settler.refuse(c, err)
	}
	c.budgetEndsAt = c.record().CreatedAt.Add(budget)
	defer d.canceller.whenGone(ctx, c)()
	for {
		slot, err := d.claimer.claim(ctx, c)
		if errors.Is(err, errBudget) || errors.Is(err, errShutdown) && c.body.whole() {
			return d.accept(ctx, c)
		}
		if err != nil {
			return nil, d.settler.giveUp(c, err)
		}
		reply, err := d.invoke(ctx, c, slot)
		if !errors.Is(err, hub.ErrRefused) {
			return reply, err
		}
	}
}

// invoke gives the task to a claimed slot and waits for the outcome. hub.ErrRefused means that nothing happened and
// that another slot is worth a try.
func (d *Dispatcher) invoke(ctx context.Context, c *call, slot *hub.Slot) (*faas.Reply, error) {
	t, err := d.tasks.complete(ctx, c, slot)
	if err != nil {
		slot.Release()
		return nil, d.settler.giveUp(c, err)
	}
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := func() bool { return false }
	defer func() { stop() }()
	answer, err := slot.Invoke(wait, t, c.body.hub(), func(context.Context) error {
		if c.wanted.Err() != nil {
			return context.Cause(c.wanted) //nolint:contextcheck // the call has a life of its own
		}
		d.launches.committing(c, slot)
		d.progress.committed(c)
		c.stopAtBudget(d.now(), cancel)
		stop = c.stopWhenLost(cancel)
		return nil
	})
	var unread *hub.BodyError
	switch {
	case err == nil:
		return d.reply(c, answer)
	case errors.Is(err, hub.ErrRefused):
		d.progress.requeued(c)
		return nil, err
	case errors.As(err, &unread):
		return nil, d.settler.refuse(c, unread.Err)
	case errors.Is(err, hub.ErrNotRun):
		return nil, d.notRun(ctx, c, err)
	case errors.Is(context.Cause(wait), errBudget):
		return d.outlive(ctx, c)
	case errors.Is(context.Cause(wait), errEnded):
		return d.endedUnheard(ctx, c)
	}
	d.log.Info("the connection to a runner broke after the commit", "invocation", c.id, "runner", slot.Runner().Runner, "error", err)
	return d.rejoin(ctx, c)
}

// notRun returns the error for a call that broke off before the commit: hub.ErrRefused where another slot is worth a
// try.
func (d *Dispatcher) notRun(ctx context.Context, c *call, err error) error {
	switch {
	case faas.KindOf(err) == faas.TooLarge:
		return d.settler.refuse(c, err)
	case c.wanted.Err() != nil:
		return d.settler.giveUp(c, context.Cause(c.wanted)) //nolint:contextcheck // the call has a life of its own
	case c.body.whole() && ctx.Err() == nil:
		d.progress.requeued(c)
		return fmt.Errorf("%w: %w", hub.ErrRefused, err)
	}
	return d.settler.giveUp(c, &loss{faas.ReasonRunnerLost, "the runner was lost while the input was sent; nothing ran"})
}

// rejoin waits for the outcome of an invocation whose connection broke: the runner goes on, and reports the invocations
// that it owns when it connects again.
func (d *Dispatcher) rejoin(ctx context.Context, c *call) (*faas.Reply, error) {
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.stopAtBudget(d.now(), cancel)
	defer c.stopWhenLost(cancel)()
	d.work.Go(func() { stopOnceStored(wait, c, cancel) })
	answer, err := d.running.Attach(wait, c.id)
	switch {
	case err == nil:
		return d.reply(c, answer)
	case errors.Is(context.Cause(wait), errBudget):
		return d.outlive(ctx, c)
	case errors.Is(err, hub.ErrGone):
		d.settler.lose(c, faas.ReasonRunnerLost, "the runner never took the task, or forgot it")
	}
	select {
	case <-c.undecided.Done():
		return d.endedUnheard(ctx, c)
	case <-ctx.Done():
		e := faas.UnavailableError("the gateway is stopping", time.Second, nil)
		e.Invocation = c.snapshot()
		return nil, e
	}
}

// stopOnceStored cancels a wait for the answer of a runner that has nothing more to upload, after a while: the runner
// may have ended, and the result can be fetched by id.
func stopOnceStored(wait context.Context, c *call, cancel context.CancelCauseFunc) {
	if c.await(wait, func() bool { return c.was(stored) }) == nil && backoff.Pause(wait, settleSoon) == nil {
		cancel(errEnded)
	}
}

// reply makes the caller's answer of the runner's.
func (d *Dispatcher) reply(c *call, a *hub.Answer) (*faas.Reply, error) {
	c.answered(&a.Outcome)
	if a.Outcome.Reason != "" {
		_ = a.Body.Close()
		return nil, failed(c.snapshotWith(&a.Outcome), a.Outcome.LogTail)
	}
	return &faas.Reply{Invocation: c.snapshotWith(&a.Outcome), Kind: a.Kind, Filename: a.Filename, Body: a.Body}, nil
}

// endedUnheard answers a call that ended while its runner's answer could not be received: with 202 once the result can
// be fetched by id.
func (d *Dispatcher) endedUnheard(ctx context.Context, c *call) (*faas.Reply, error) {
	wait, cancel := context.WithTimeout(ctx, settleSoon)
	defer cancel()
	_ = c.await(wait, func() bool { return c.was(stored) || c.was(closed) })
	inv := c.snapshot()
	if inv.Reason == nil && inv.Result != nil && inv.Result.Stored {
		return &faas.Reply{Invocation: inv, Accepted: true}, nil
	}
	return nil, failedUnheard(c)
}

// accept answers a call that has no slot yet with 202: first the input is stored, then the record with its lease.
func (d *Dispatcher) accept(ctx context.Context, c *call) (*faas.Reply, error) {
	c.budgetEndsAt = time.Time{}
	if err := d.claimer.enter(c); err != nil {
		d.settler.drop(c)
		return nil, err
	}
	if err := d.acceptor.stage(ctx, c); err != nil {
		d.waiting.exit(c)
		return nil, d.settler.refuse(c, err)
	}
	if err := d.acceptor.enqueue(ctx, c); err != nil {
		d.waiting.exit(c)
		d.settler.lose(c, faas.ReasonStoreUnavailable, "the record could not be written; nothing ran")
		return nil, err
	}
	d.work.start(func(ctx context.Context) { d.driver.lead(ctx, c) })
	return &faas.Reply{Invocation: c.snapshot(), Accepted: true}, nil
}

// outlive answers a running call with 202 once the runner has stored the input. If input or record cannot be stored,
// the caller keeps waiting for the outcome.
func (d *Dispatcher) outlive(ctx context.Context, c *call) (*faas.Reply, error) {
	c.budgetEndsAt = time.Time{}
	if !d.acceptor.secure(ctx, c) {
		return d.rejoin(ctx, c)
	}
	if err := d.acceptor.enqueue(ctx, c); err != nil {
		d.log.Warn("a caller waits beyond its budget, because the record cannot be written", "invocation", c.id, "error", err)
		return d.rejoin(ctx, c)
	}
	d.work.start(func(ctx context.Context) { d.driver.lead(ctx, c) })
	return &faas.Reply{Invocation: c.snapshot(), Accepted: true}, nil
}
