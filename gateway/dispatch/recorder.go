package dispatch

import (
	"context"
	"sync"
	"time"

	"davit/gateway/faas"
)

const (
	recordDelay = 10 * time.Millisecond // lets a short call's states become one write
	recordRetry = time.Second           // after Redis refused
)

// recorder writes records off the call path: the newest state of each call,
// many in one round trip, again until Redis has them. It also tells runners
// what is settled, so that they may forget it.
type recorder struct {
	d    *Dispatcher
	kick chan struct{}

	mu    sync.Mutex
	dirty map[faas.InvocationID]*call

	writing sync.Mutex // one flush at a time
}

func newRecorder(d *Dispatcher) *recorder {
	return &recorder{d: d, kick: make(chan struct{}, 1), dirty: make(map[faas.InvocationID]*call)}
}

// save has c's record written soon.
func (r *recorder) save(c *call) {
	r.mu.Lock()
	first := len(r.dirty) == 0
	r.dirty[c.id] = c
	r.mu.Unlock()
	if first {
		time.AfterFunc(recordDelay, r.wake)
	}
}

// saveNow has c's record written at once.
func (r *recorder) saveNow(c *call) {
	r.mu.Lock()
	r.dirty[c.id] = c
	r.mu.Unlock()
	r.wake()
}

func (r *recorder) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends.
func (r *recorder) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.kick:
		}
		if r.flush(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(recordRetry):
			r.wake()
		}
	}
}

// flush writes what is dirty and reports whether Redis took all of it.
func (r *recorder) flush(ctx context.Context) bool {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	calls := r.dirty
	r.dirty = make(map[faas.InvocationID]*call, len(calls))
	r.mu.Unlock()
	var open []*faas.Invocation
	var final []*call
	for _, c := range calls {
		if c.isFinal() {
			final = append(final, c)
			continue
		}
		open = append(open, c.snapshot())
	}
	ok := true
	if len(open) > 0 {
		if err := r.d.Records.SaveInvocations(ctx, open); err != nil {
			r.failed("save records", err)
			r.again(calls, open)
			ok = false
		}
	}
	for _, c := range final {
		if !r.settle(ctx, c) {
			r.save(c)
			ok = false
		}
	}
	return ok
}

func (r *recorder) again(calls map[faas.InvocationID]*call, open []*faas.Invocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, inv := range open {
		if _, newer := r.dirty[inv.ID]; !newer {
			r.dirty[inv.ID] = calls[inv.ID]
		}
	}
}

// settle writes a final record, once; what the store says later is added to it.
func (r *recorder) settle(ctx context.Context, c *call) bool {
	c.mu.Lock()
	inv, saved := c.inv, c.saved
	c.mu.Unlock()
	if saved {
		return r.amend(ctx, c, inv)
	}
	settled, applied, err := r.d.Records.Settle(ctx, withoutTask(inv))
	if faas.KindOf(err) == faas.Conflict { // another gateway leads it by now
		r.d.yield(c)
		return true
	}
	if err != nil {
		r.failed("settle a record", err)
		return false
	}
	if applied {
		r.d.Meter.Settled(inv)
	} else {
		r.d.Meter.Released()
		c.mu.Lock()
		c.inv = settled
		c.mu.Unlock()
	}
	r.done(ctx, c)
	return true
}

func (r *recorder) amend(ctx context.Context, c *call, inv *faas.Invocation) bool {
	_, err := r.d.Records.UpdateInvocation(ctx, c.id, func(i *faas.Invocation) error {
		i.Result, i.Input, i.Phases = inv.Result, inv.Input, inv.Phases
		if inv.Inner != nil && i.Inner != nil {
			i.Inner.LogSize, i.Inner.LogStored = inv.Inner.LogSize, inv.Inner.LogStored
		}
		return nil
	})
	if err != nil && faas.KindOf(err) != faas.NotFound {
		r.failed("complete a record", err)
		return false
	}
	r.done(ctx, c)
	return true
}

// done tells the runner that the outcome is safe, and forgets the call once nothing more can come.
func (r *recorder) done(ctx context.Context, c *call) {
	c.mu.Lock()
	first := !c.saved
	c.saved = true
	over := c.isStored
	runner := c.inv.Inner != nil && c.inv.Inner.Runner != ""
	c.mu.Unlock()
	if first && runner {
		r.d.background(func(context.Context) { r.d.acknowledge(ctx, c.id) })
	}
	if over {
		r.d.forget(c)
	}
	r.d.announce()
}

func (r *recorder) failed(what string, err error) {
	r.d.Meter.StoreError("redis")
	r.d.Logger.Warn(what+"; trying again", "error", err)
}

// acknowledge lets a runner forget an outcome; a runner that does not hear it says so again.
func (d *Dispatcher) acknowledge(ctx context.Context, id faas.InvocationID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.hub.Ack(ctx, id); err != nil {
		d.Logger.Debug("acknowledge an outcome", "invocation", id, "error", err)
	}
}

// withoutTask is the record as it is kept: the task has done its duty.
func withoutTask(inv *faas.Invocation) *faas.Invocation {
	c := inv.Clone()
	if c.Inner != nil {
		c.Inner.Task = nil
	}
	return c
}
