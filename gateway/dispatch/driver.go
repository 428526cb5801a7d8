package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"davit/gateway/hub"
	"davit/internal/backoff"
	"davit/internal/blob"
	"davit/internal/faas"
)

// retryEvery is how long an accepted invocation waits when a part of Davit is unavailable.
const retryEvery = time.Second

// driver sees accepted invocations to their end.
type driver struct {
	claimer  *claimer
	tasks    *tasks
	launches *launches
	queue    Queue
	records  Records
	running  Running
	settler  *settler
	resolver *resolver
	progress *progress
	log      *slog.Logger
}

// lead sees an accepted invocation to its end; events of its runner do the settling.
func (d *driver) lead(ctx context.Context, c *call) {
	defer d.claimer.waiting.exit(c)
	if !c.was(committed) {
		d.start(ctx, c)
	}
	select {
	case <-c.undecided.Done():
	case <-ctx.Done():
	}
}

// start gets an accepted invocation onto a slot. While a part of Davit is unavailable it retries, until the invocation
// expires.
func (d *driver) start(ctx context.Context, c *call) {
	for {
		slot, err := d.claimer.claim(ctx, c)
		if err == nil {
			err = d.deliver(ctx, c, slot)
		}
		switch {
		case err == nil, errors.Is(err, errShutdown), errors.Is(err, errEnded), ctx.Err() != nil:
			return // delivered, or left in the durable queue
		case errors.Is(err, hub.ErrRefused):
			continue
		case !faas.IsUnavailable(err):
			d.failed(c, err)
			return
		}
		d.log.Warn("starting an accepted invocation failed; retrying", "invocation", c.id, "error", err)
		if pause(ctx, c) != nil {
			return
		}
	}
}

// pause waits before the next try to start c, and not longer than c is wanted.
func pause(ctx context.Context, c *call) error {
	wait, cancel := context.WithCancel(c.wanted)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	_ = backoff.Pause(wait, retryEvery) //nolint:contextcheck // the call has a life of its own
	return ctx.Err()
}

// failed settles an accepted invocation that cannot run, with an honest reason.
func (d *driver) failed(c *call, err error) {
	var l *loss
	if errors.As(err, &l) || errors.Is(err, errCancelled) {
		_ = d.settler.giveUp(c, err)
		return
	}
	d.log.Warn("an accepted invocation cannot be started", "invocation", c.id, "error", err)
	d.settler.lose(c, faas.ReasonRunnerLost, "no runner could be started for it")
}

// deliver sends an accepted invocation's task; its input is in the store. The binding in Redis is made between the
// runner's yes and the commit, so that two gateways which both believe that they lead the invocation cannot both run
// it.
func (d *driver) deliver(ctx context.Context, c *call, slot *hub.Slot) error {
	t, err := d.tasks.complete(ctx, c, slot)
	if err != nil {
		slot.Release()
		return err
	}
	runner, bound := slot.Runner().Runner, false
	answer, err := slot.Invoke(ctx, t, hub.Body{}, func(ctx context.Context) error {
		if c.wanted.Err() != nil {
			return context.Cause(c.wanted) //nolint:contextcheck // the call has a life of its own
		}
		bound = true // as far as is known, also when Redis does not answer
		if err := d.queue.Bind(ctx, c.id, t.Record.Attempt, runner); err != nil {
			return err
		}
		d.launches.committing(c, slot)
		d.progress.committed(c)
		return nil
	})
	switch {
	case err == nil:
		c.answered(&answer.Outcome)
		return answer.Body.Close()
	case errors.Is(err, hub.ErrRefused):
		d.progress.requeued(c)
		return err
	case faas.KindOf(err) == faas.Conflict:
		return d.notBound(ctx, c)
	case errors.Is(err, hub.ErrNotRun) && ctx.Err() == nil:
		if bound {
			d.unbind(ctx, c, t.Record.Attempt, runner)
		}
		d.progress.requeued(c)
		return fmt.Errorf("%w: %w", hub.ErrRefused, err)
	}
	return d.follow(ctx, c)
}

// notBound finds out why Redis did not bind an accepted invocation: a cancel came first, or another gateway leads it by
// now.
func (d *driver) notBound(ctx context.Context, c *call) error {
	record, err := d.records.FindInvocation(ctx, c.id)
	if err == nil && (record.State == faas.Queued || record.State == faas.Starting) && record.Inner != nil && record.Inner.Cancelled {
		return errCancelled
	}
	d.settler.yield(c)
	return nil
}

// unbind takes a binding back from a runner that never got the invocation.
func (d *driver) unbind(ctx context.Context, c *call, attempt int, runner faas.RunnerID) {
	if err := d.queue.Unbind(ctx, c.id, attempt, runner); err != nil {
		d.log.Warn("unbinding an invocation from a runner that never got it failed", "invocation", c.id, "error", err)
	}
}

// follow waits for the outcome of an accepted invocation whose connection broke after the commit: its runner goes on,
// or reports that it never got the invocation, or recovery notices that it is lost.
func (d *driver) follow(ctx context.Context, c *call) error {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.undecided, cancel)() //nolint:contextcheck // the call has a life of its own
	answer, err := d.running.Attach(wait, c.id)
	if err == nil {
		c.answered(&answer.Outcome)
		return answer.Body.Close()
	}
	if !errors.Is(err, hub.ErrGone) {
		return nil
	}
	if d.takeBack(ctx, c) {
		return fmt.Errorf("%w: %w", hub.ErrRefused, err)
	}
	return nil
}

// takeBack makes an accepted invocation free for another runner if the runner that it is bound to is connected, and
// never got the whole of it. It reports false if it did not, and then settles the invocation, or has recovery try again.
func (d *driver) takeBack(ctx context.Context, c *call) bool {
	runner := c.record().Inner.Runner
	never, err := d.neverRan(ctx, c)
	if err == nil && never {
		err = d.queue.Unbind(ctx, c.id, c.record().Attempt, runner)
	}
	switch {
	case err != nil && faas.KindOf(err) != faas.Conflict:
		d.log.Warn("taking an invocation back from its runner failed; retrying", "invocation", c.id, "runner", runner, "error", err)
		c.outOfTouch(d.resolver.now())
		return false
	case err != nil || !never:
		d.resolver.resolve(ctx, c, &loss{faas.ReasonRunnerLost, "the runner never took the task, or forgot it"})
		return false
	}
	d.log.Info("an invocation goes to another runner, because its runner never got the whole of it", "invocation", c.id, "runner", runner)
	d.progress.requeued(c)
	return true
}

// neverRan reports whether the command never ran: the runner that an invocation is bound to does not own it, and it has
// no outcome. A runner owns an invocation from before the binding until its outcome is acknowledged, and so until the
// record is final; else the end of the input never reached the runner.
func (d *driver) neverRan(ctx context.Context, c *call) (bool, error) {
	if _, owned := d.running.Owner(c.id); owned || c.outcome() != nil || c.isFinal() || len(c.task.Command) == 0 {
		return false, nil
	}
	_, err := d.resolver.storedOutcome(ctx, c.id, c.record().Attempt)
	if errors.Is(err, blob.ErrNotFound) {
		return true, nil
	}
	return false, err
}
