package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// Call runs req's command and returns its result, or 202 when the caller asked
// for that or the wait budget ended. The error is a *faas.Error; it carries the
// invocation once there is one.
func (d *Dispatcher) Call(ctx context.Context, req *Request) (*Reply, error) {
	c, err := d.open(req)
	if err != nil {
		return nil, err
	}
	defer c.leave()
	budget := c.budget()
	if req.Async || budget <= 0 {
		return d.accept(ctx, c)
	}
	if err := c.body.prefetch(); err != nil {
		return nil, d.refuse(c, err)
	}
	c.budgetEndsAt = c.inv.CreatedAt.Add(budget)
	defer d.cancelWhenGone(ctx, c)()
	for {
		slot, err := d.claim(ctx, c)
		if errors.Is(err, errBudget) || errors.Is(err, errShutdown) && c.body.whole() {
			return d.accept(ctx, c)
		}
		if err != nil {
			return nil, d.giveUp(c, err)
		}
		reply, err := d.invoke(ctx, c, slot)
		if !errors.Is(err, hub.ErrRefused) {
			return reply, err
		}
	}
}

// invoke gives the task to a claimed slot and waits for the outcome.
// hub.ErrRefused means that nothing happened and another slot is worth a try.
func (d *Dispatcher) invoke(ctx context.Context, c *call, slot *hub.Slot) (*Reply, error) {
	t, err := d.complete(ctx, c, slot)
	if err != nil {
		slot.Release()
		return nil, d.giveUp(c, err)
	}
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answer, err := slot.Invoke(wait, t, c.body.hub(), func(context.Context) error {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx) //nolint:contextcheck // the call has a life of its own
		}
		d.took(c, slot) //nolint:contextcheck // what is withdrawn is not this call's
		c.committed()
		c.stopAtBudget(cancel)
		c.stopWhenLost(cancel) //nolint:contextcheck // the call has a life of its own
		return nil
	})
	var unread *hub.BodyError
	switch {
	case err == nil:
		return d.reply(c, answer)
	case errors.Is(err, hub.ErrRefused):
		c.unbind()
		return nil, err
	case errors.As(err, &unread):
		return nil, d.refuse(c, unread.Err)
	case errors.Is(err, hub.ErrNotRun) && faas.KindOf(err) == faas.TooLarge:
		return nil, d.refuse(c, err)
	case c.ctx.Err() != nil && errors.Is(err, hub.ErrNotRun):
		return nil, d.giveUp(c, context.Cause(c.ctx)) //nolint:contextcheck // the call has a life of its own
	case errors.Is(err, hub.ErrNotRun) && c.body.whole() && ctx.Err() == nil:
		c.unbind()
		return nil, fmt.Errorf("%w: %w", hub.ErrRefused, err)
	case errors.Is(err, hub.ErrNotRun):
		return nil, d.giveUp(c, &loss{faas.ReasonRunnerLost, "the runner was lost while the input was sent; nothing ran"})
	case errors.Is(context.Cause(wait), errBudget):
		return d.outlive(ctx, c)
	case errors.Is(context.Cause(wait), errEnded):
		return d.endedUnheard(ctx, c)
	}
	d.Logger.Info("connection to runner lost after the commit", "invocation", c.id, "runner", slot.Runner().Runner, "cause", err)
	return d.rejoin(ctx, c)
}

// rejoin waits for the outcome of an invocation whose connection broke: the
// runner goes on, and says what it holds when it dials in again.
func (d *Dispatcher) rejoin(ctx context.Context, c *call) (*Reply, error) {
	wait, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.stopAtBudget(cancel)
	c.stopWhenLost(cancel)           //nolint:contextcheck // the call has a life of its own
	defer c.stopOnceStored(cancel)() //nolint:contextcheck // as above
	answer, err := d.hub.Attach(wait, c.id)
	switch {
	case err == nil:
		return d.reply(c, answer)
	case errors.Is(context.Cause(wait), errBudget):
		return d.outlive(ctx, c)
	case errors.Is(err, hub.ErrGone):
		d.lose(c, faas.ReasonRunnerLost, "the runner never took the task, or forgot it")
	}
	select {
	case <-c.ended.done:
		return d.endedUnheard(ctx, c)
	case <-ctx.Done():
		return nil, &faas.Error{Kind: faas.Unavailable, Detail: "the gateway is stopping", Invocation: c.snapshot(), RetryAfter: time.Second}
	}
}

// reply turns a runner's answer into the caller's.
func (d *Dispatcher) reply(c *call, a *hub.Answer) (*Reply, error) {
	c.answered(&a.Outcome)
	if a.Outcome.Reason != "" {
		_ = a.Body.Close()
		return nil, failed(c.snapshotWith(&a.Outcome), a.Outcome.LogTail)
	}
	return &Reply{Invocation: c.snapshotWith(&a.Outcome), Kind: a.Kind, Filename: a.Filename, Body: a.Body}, nil
}

// endedUnheard answers a call that ended while nobody could hear its answer: with
// 202 once the result can be fetched by id.
func (d *Dispatcher) endedUnheard(ctx context.Context, c *call) (*Reply, error) {
	wait, cancel := context.WithTimeout(ctx, settleSoon)
	defer cancel()
	select {
	case <-c.stored.done:
	case <-wait.Done():
	}
	inv := c.snapshot()
	if inv.Reason == nil && inv.Result != nil && inv.Result.Stored {
		return &Reply{Invocation: inv, Accepted: true}, nil
	}
	return nil, c.failure()
}

// failure is the error of a call that has ended without an answer from its runner.
func (c *call) failure() error {
	inv := c.snapshot()
	if inv.Reason == nil {
		return &faas.Error{Kind: faas.Unavailable, Detail: "the command succeeded, but the connection to its result was lost; fetch it by id", Invocation: inv, RetryAfter: time.Second}
	}
	return failed(inv, c.logTail())
}

// failed is the error that tells a caller about an invocation that did not succeed.
func failed(inv *faas.Invocation, tail string) *faas.Error {
	reason := *inv.Reason
	e := &faas.Error{Kind: reason.Kind(), Detail: reason.Advice(), Invocation: inv, LogTail: tail}
	if inv.Detail != "" {
		e.Detail = inv.Detail + ". " + e.Detail
	}
	if e.Kind == faas.Unavailable {
		e.RetryAfter = 5 * time.Second
	}
	return e
}

// giveUp settles a call that will not run and returns its error.
func (d *Dispatcher) giveUp(c *call, err error) error {
	var l *loss
	switch {
	case errors.As(err, &l):
		d.lose(c, l.reason, l.detail)
		return failed(c.snapshot(), "")
	case errors.Is(err, errCancelled):
		d.lose(c, faas.ReasonCancelled, "cancelled before it ran")
		return failed(c.snapshot(), "")
	case errors.Is(err, errGone):
		d.lose(c, faas.ReasonCancelled, "the caller hung up before it ran")
		return failed(c.snapshot(), "")
	}
	d.drop(c)
	var e *faas.Error
	if errors.As(err, &e) {
		return e
	}
	return &faas.Error{Kind: faas.Unavailable, Detail: "the gateway cannot run this now", RetryAfter: time.Second, Err: err}
}

// refuse drops a call whose body could not be read: nothing ran, and nothing is kept of it.
func (d *Dispatcher) refuse(c *call, err error) error {
	d.drop(c)
	var e *faas.Error
	if errors.As(err, &e) {
		return e
	}
	return &faas.Error{Kind: faas.Invalid, Detail: "the request body ended before it was whole", Err: err}
}

// loss is a reason why an invocation does not run, or no longer.
type loss struct {
	reason faas.Reason
	detail string
}

func (l *loss) Error() string { return string(l.reason) + ": " + l.detail }

var (
	errBudget    = errors.New("the wait budget ended")
	errCancelled = errors.New("cancelled")
	errGone      = errors.New("the caller hung up")
	errShutdown  = errors.New("the gateway is stopping")
	errEnded     = errors.New("the invocation ended")
)
