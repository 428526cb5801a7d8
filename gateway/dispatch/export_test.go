package dispatch

import (
	"context"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
)

// OpenedCall is a call that a test takes through its life by hand.
type OpenedCall struct {
	ID faas.InvocationID
	d  *Dispatcher
	c  *call
}

// Open opens a call.
func (d *Dispatcher) Open(request *faas.Call) (*OpenedCall, error) {
	c, err := d.opener.open(request)
	if err != nil {
		return nil, err
	}
	return &OpenedCall{c.id, d, c}, nil
}

// FindCall returns a call that is led here, or nil.
func (d *Dispatcher) FindCall(id faas.InvocationID) *OpenedCall {
	if c := d.calls.find(id); c != nil {
		return &OpenedCall{id, d, c}
	}
	return nil
}

func (o *OpenedCall) Want() hub.Want { return wantOf(o.c) }

func (o *OpenedCall) Committed() { o.d.progress.committed(o.c) }

func (o *OpenedCall) Change(f func(*faas.Invocation)) { o.c.change(f) }

func (o *OpenedCall) Answered(outcome *task.Outcome) { o.c.answered(outcome) }

func (o *OpenedCall) OutOfTouch(since time.Time) { o.c.outOfTouch(since) }

func (o *OpenedCall) CancelWait() { o.c.unwant(errCancelled) }

func (o *OpenedCall) Start(ctx context.Context) { o.d.driver.start(ctx, o.c) }

func (o *OpenedCall) Drop() { o.d.settler.drop(o.c) }

func (o *OpenedCall) IsOver() bool { return o.c.wanted.Err() != nil && o.c.undecided.Err() != nil }

// Claim claims a slot. It returns why there is none, and whether that is a loss.
func (o *OpenedCall) Claim(ctx context.Context) (reason faas.Reason, detail string, isLoss bool) {
	_, err := o.d.claimer.claim(ctx, o.c)
	l, isLoss := err.(*loss) //nolint:errorlint // a cause is not wrapped
	if !isLoss {
		return "", "", false
	}
	return l.reason, l.detail, true
}

// Resolve settles a call whose runner is gone.
func (o *OpenedCall) Resolve(ctx context.Context, reason faas.Reason, detail string) {
	o.d.resolver.resolve(ctx, o.c, &loss{reason, detail})
}

// Running counts the calls whose command runs.
func (d *Dispatcher) Running() int { return d.calls.running() }

// Waiting counts the calls of a function that wait for a slot.
func (d *Dispatcher) Waiting(name faas.FunctionName) int {
	d.waiting.mu.Lock()
	defer d.waiting.mu.Unlock()
	return d.waiting.count[name]
}

// Led returns the invocations that are led here.
func (d *Dispatcher) Led() []faas.InvocationID {
	return idsOf(d.calls.which(func(*call) bool { return true }))
}
