package dispatch

import (
	"context"
	"sync"
	"time"

	"davit/internal/faas"
)

const (
	recordDelay = 50 * time.Millisecond // lets a short call's states become one write, and many calls' too
	recordRetry = time.Second           // after Redis refused
	ackWithin   = 5 * time.Second
)

// recorder writes records off the call path: the newest state of each call,
// many in one round trip, again until Redis has them. It also tells runners
// what is settled, so that they may forget it.
type recorder struct {
	d    *Dispatcher
	kick chan struct{}

	mu       sync.Mutex
	dirty    map[faas.InvocationID]*call
	awaiting []chan struct{} // closed when what was dirty before has been tried

	writing sync.Mutex          // one flush at a time
	acks    []faas.InvocationID // runners that are still to hear; guarded by writing
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

// caughtUp returns when what was to be written before has been tried, at most after that time.
func (r *recorder) caughtUp(ctx context.Context, most time.Duration) {
	tried := make(chan struct{})
	r.mu.Lock()
	r.awaiting = append(r.awaiting, tried)
	r.mu.Unlock()
	r.wake()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	case <-ctx.Done():
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
		whole := r.flush(context.WithoutCancel(ctx))
		r.tell(context.WithoutCancel(ctx))
		if whole {
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
	awaiting := r.awaiting
	r.awaiting = nil
	r.mu.Unlock()
	defer func() {
		for _, tried := range awaiting {
			close(tried)
		}
	}()
	var together []*faas.Invocation
	var alone []*call
	for _, c := range calls {
		if c.settlesAlone() {
			alone = append(alone, c)
			continue
		}
		together = append(together, withoutTask(c.current(), c.isFinal()))
	}
	ok := r.saveTogether(ctx, calls, together)
	for _, c := range alone {
		if !r.settle(ctx, c) {
			r.save(c)
			ok = false
		}
	}
	return ok
}

// settlesAlone reports whether others may have a say in how the call ends, or
// its end is in Redis already. A call that only its caller knew of is written with many.
func (c *call) settlesAlone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inv.State.Final() && (c.saved || c.req == nil || c.inv.Inner.Accepted || !c.missedAt.IsZero())
}

// saveTogether writes many records in few round trips.
func (r *recorder) saveTogether(ctx context.Context, calls map[faas.InvocationID]*call, records []*faas.Invocation) bool {
	if len(records) == 0 {
		return true
	}
	if err := r.d.Records.SaveInvocations(ctx, records); err != nil {
		r.failed("save records", err)
		r.again(calls, records)
		return false
	}
	for _, inv := range records {
		if inv.State.Final() {
			r.d.Meter.Settled(inv)
			r.done(calls[inv.ID])
		}
	}
	return true
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
	settled, applied, err := r.d.Records.Settle(ctx, withoutTask(inv, true))
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
	r.done(c)
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
	r.done(c)
	return true
}

// done has the runner told that the outcome is safe, and forgets the call once nothing more can come.
func (r *recorder) done(c *call) {
	c.mu.Lock()
	first := !c.saved
	c.saved = true
	over := c.stored.isSet()
	runner := c.inv.Inner.Runner != ""
	c.mu.Unlock()
	if first && runner {
		r.acks = append(r.acks, c.id)
	}
	if over {
		r.d.forget(c)
	}
}

// tell lets runners forget the outcomes that are safe, and those who wait look
// again. A runner that does not hear it says again what it holds.
func (r *recorder) tell(ctx context.Context) {
	r.writing.Lock()
	acks := r.acks
	r.acks = nil
	r.writing.Unlock()
	r.d.announce()
	if len(acks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	if err := r.d.hub.AckAll(ctx, acks); err != nil {
		r.d.Logger.Debug("acknowledge outcomes", "error", err)
	}
}

func (r *recorder) failed(what string, err error) {
	r.d.Meter.StoreError("redis")
	r.d.Logger.Warn("write records; trying again", "what", what, "error", err)
}

// withoutTask is the record as it is kept when it is over: the task has done its duty.
func withoutTask(inv *faas.Invocation, over bool) *faas.Invocation {
	if !over || inv.Inner.Task == nil {
		return inv
	}
	c := inv.Clone()
	c.Inner.Task = nil
	return c
}
