package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"davit/gateway/hub"
	"davit/internal/blob"
	"davit/internal/faas"
)

// accept answers a call that has no slot yet with 202: first the input is
// stored, then the record with its lease, and only then the caller is told.
func (d *Dispatcher) accept(ctx context.Context, c *call) (*Reply, error) {
	c.budgetEndsAt = time.Time{}
	if err := d.enter(c); err != nil {
		d.drop(c)
		return nil, err
	}
	if err := d.stage(ctx, c); err != nil {
		d.exit(c)
		return nil, d.refuse(c, err)
	}
	if err := d.enqueue(ctx, c); err != nil {
		d.exit(c)
		d.lose(c, faas.ReasonStoreUnavailable, "the record could not be written; nothing ran")
		return nil, err
	}
	d.background(func(ctx context.Context) { d.lead(ctx, c) })
	return &Reply{Invocation: c.snapshot(), Accepted: true}, nil
}

// outlive answers a call that runs with 202: the runner has stored the input by
// then. If that cannot be made safe, the caller is kept until the outcome.
func (d *Dispatcher) outlive(ctx context.Context, c *call) (*Reply, error) {
	c.budgetEndsAt = time.Time{}
	if !d.secure(ctx, c) {
		return d.rejoin(ctx, c)
	}
	if err := d.enqueue(ctx, c); err != nil {
		d.Logger.Warn("keep a caller beyond its wait budget, since the record cannot be written", "invocation", c.id, "error", err)
		return d.rejoin(ctx, c)
	}
	d.background(func(ctx context.Context) { d.lead(ctx, c) })
	return &Reply{Invocation: c.snapshot(), Accepted: true}, nil
}

// secure waits until the runner has stored the input, and has it keep the result.
func (d *Dispatcher) secure(ctx context.Context, c *call) bool {
	if c.task.Keep != faas.KeepAll {
		if err := d.hub.Keep(ctx, c.id); err != nil {
			return false
		}
	}
	if !c.body.present() {
		return !c.ended.isSet()
	}
	select {
	case <-c.input.done:
		in := c.snapshot().Input
		return in != nil && in.Stored && !c.ended.isSet()
	case <-c.ended.done:
		return false
	case <-ctx.Done():
		return false
	}
}

// enqueue marks the call accepted and makes that durable.
func (d *Dispatcher) enqueue(ctx context.Context, c *call) error {
	if c.task == nil {
		return errNoTask
	}
	draft := c.snapshot()
	draft.Inner.Accepted = true
	if err := packTask(draft, c.task); err != nil {
		return err
	}
	if err := d.Queue.Enqueue(ctx, draft, d.Now().Add(d.Limits.Lease)); err != nil {
		d.Meter.StoreError("redis")
		return unavailable("the record cannot be written now", err)
	}
	c.change(func(i *faas.Invocation) { i.Inner.Accepted, i.Inner.Task = true, draft.Inner.Task })
	c.count()
	return nil
}

// stage stores the input, which is whole in memory or still on the caller's socket.
func (d *Dispatcher) stage(ctx context.Context, c *call) error {
	in := &faas.Input{ContentType: c.task.Request.ContentType, Stored: true}
	if c.body.present() {
		r, size := c.body.reader()
		reader := &callerReader{r: r}
		info, err := d.Objects.Put(ctx, inputKey(c.id), reader, size, blob.PutOptions{ContentType: in.ContentType})
		if reader.err != nil {
			return reader.err
		}
		if err != nil {
			d.Meter.StoreError("objects")
			return unavailable("the input cannot be stored now", err)
		}
		in.Size, in.SHA256 = info.Size, info.SHA256
	}
	c.body = &body{}
	c.change(func(i *faas.Invocation) { i.Input = in })
	return nil
}

// callerReader keeps the caller's read errors apart from the store's.
type callerReader struct {
	r   io.Reader
	err error
}

func (c *callerReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = fmt.Errorf("read the request body: %w", err)
	}
	return n, err
}

// lead sees an accepted invocation to its end; events of its runner do the settling.
func (d *Dispatcher) lead(ctx context.Context, c *call) {
	defer d.exit(c)
	if !c.isCommitted() {
		d.drive(ctx, c)
	}
	select {
	case <-c.ended.done:
	case <-ctx.Done():
	}
}

// retryEvery is how long an accepted invocation waits when a part of Davit is away.
const retryEvery = time.Second

// drive gets an accepted invocation onto a slot. While a part of Davit is away it
// tries again, until it expires.
func (d *Dispatcher) drive(ctx context.Context, c *call) {
	for {
		slot, err := d.claim(ctx, c)
		if err == nil {
			err = d.deliver(ctx, c, slot)
		}
		switch {
		case err == nil, errors.Is(err, errShutdown), errors.Is(err, errEnded), ctx.Err() != nil:
			return // delivered, or left in the durable queue
		case errors.Is(err, hub.ErrRefused):
			continue
		case faas.KindOf(err) == faas.Unavailable:
			d.Logger.Warn("start an accepted invocation; trying again", "invocation", c.id, "error", err)
		default:
			d.leadFailed(c, err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}

// leadFailed settles an accepted invocation that cannot run, with an honest reason.
func (d *Dispatcher) leadFailed(c *call, err error) {
	var l *loss
	if errors.As(err, &l) || errors.Is(err, errCancelled) {
		_ = d.giveUp(c, err)
		return
	}
	d.Logger.Warn("an accepted invocation cannot be started", "invocation", c.id, "error", err)
	d.lose(c, faas.ReasonRunnerLost, "no runner could be started for it")
}

// deliver sends an accepted invocation's task; its input is in the store. The
// binding in Redis stands between the runner's yes and the commit, so that two
// gateways which both believe to lead it cannot both run it.
func (d *Dispatcher) deliver(ctx context.Context, c *call, slot *hub.Slot) error {
	t, err := d.complete(ctx, c, slot)
	if err != nil {
		slot.Release()
		return err
	}
	runner, bound := slot.Runner().Runner, false
	answer, err := slot.Invoke(ctx, t, hub.Body{}, func(ctx context.Context) error {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx) //nolint:contextcheck // the call has a life of its own
		}
		bound = true // as far as is known, also when Redis does not answer
		if err := d.Queue.Bind(ctx, c.id, t.Record.Attempt, runner); err != nil {
			return err
		}
		d.took(c, slot)
		c.committed()
		return nil
	})
	switch {
	case err == nil:
		c.answered(&answer.Outcome)
		return answer.Body.Close()
	case errors.Is(err, hub.ErrRefused):
		c.unbind()
		return err
	case faas.KindOf(err) == faas.Conflict:
		return d.notBound(ctx, c)
	case errors.Is(err, hub.ErrNotRun) && ctx.Err() == nil:
		if bound {
			d.unbind(ctx, c, t.Record.Attempt, runner)
		}
		c.unbind()
		return fmt.Errorf("%w: %w", hub.ErrRefused, err)
	}
	return d.follow(ctx, c)
}

// notBound finds out why Redis bound an accepted invocation to no runner of ours: a cancel came first, or another
// gateway leads it by now.
func (d *Dispatcher) notBound(ctx context.Context, c *call) error {
	record, err := d.Records.FindInvocation(ctx, c.id)
	if err == nil && (record.State == faas.Queued || record.State == faas.Starting) && record.Inner != nil && record.Inner.Cancelled {
		return errCancelled
	}
	d.yield(c)
	return nil
}

// unbind takes a binding back from a runner that never had the invocation.
func (d *Dispatcher) unbind(ctx context.Context, c *call, attempt int, runner faas.RunnerID) {
	if err := d.Queue.Unbind(ctx, c.id, attempt, runner); err != nil {
		d.Logger.Warn("unbind an invocation from a runner that never had it", "invocation", c.id, "error", err)
	}
}

// follow waits for the outcome of an accepted invocation whose connection broke
// after the commit: its runner goes on, or says that it never had it, or is noticed as lost.
func (d *Dispatcher) follow(ctx context.Context, c *call) error {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.endedContext(), cancel)() //nolint:contextcheck // the call has a life of its own
	answer, err := d.hub.Attach(wait, c.id)
	if err == nil {
		c.answered(&answer.Outcome)
		return answer.Body.Close()
	}
	if errors.Is(err, hub.ErrGone) {
		d.resolve(ctx, c, &loss{faas.ReasonRunnerLost, "the runner never took the task, or forgot it"})
	}
	return nil
}

// yield leaves an invocation to the gateway that leads it by now.
func (d *Dispatcher) yield(c *call) {
	d.forget(c)
	d.freePlace(c.id)
	c.tellEnd()
	d.Meter.Released()
}

var errNoTask = faas.Errorf(faas.Internal, "the invocation has no task")

func unavailable(detail string, err error) error {
	var e *faas.Error
	if errors.As(err, &e) && e.Kind != faas.Internal {
		return e
	}
	return &faas.Error{Kind: faas.Unavailable, Detail: detail, RetryAfter: 5 * time.Second, Err: err}
}
