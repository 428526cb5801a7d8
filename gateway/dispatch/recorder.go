package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/signal"
)

const (
	recordDelay = 50 * time.Millisecond // makes one write of a short call's states, and of those of many calls
	recordRetry = time.Second           // after Redis refused a write
	ackWithin   = 5 * time.Second
)

// recorder writes records off the call path: the newest state of each call, many in one round trip, again until Redis
// has them. It also acknowledges recorded outcomes to their runners, so that these may forget them.
type recorder struct {
	records Records
	acks    Acknowledger
	meter   Meter
	errors  CallMeter
	calls   *calls
	log     *slog.Logger

	wake signal.Wake

	mu       sync.Mutex
	dirty    map[faas.InvocationID]*call
	awaiting []chan struct{} // closed when an attempt was made to write what is dirty now

	writing    sync.Mutex          // one flush at a time
	unreported []faas.InvocationID // outcomes to acknowledge; guarded by writing
}

func newRecorder(o *Options, table *calls) *recorder {
	return &recorder{
		records: o.Records, acks: o.Acks, meter: o.Meter, errors: o.CallMeter, calls: table, log: o.Log,
		wake: signal.NewWake(), dirty: make(map[faas.InvocationID]*call),
	}
}

// save writes c's record soon.
func (r *recorder) save(c *call) {
	r.mu.Lock()
	first := len(r.dirty) == 0
	r.dirty[c.id] = c
	r.mu.Unlock()
	if first {
		time.AfterFunc(recordDelay, r.wake.Set)
	}
}

// saveNow writes c's record at once, in the background.
func (r *recorder) saveNow(c *call) {
	r.mu.Lock()
	r.dirty[c.id] = c
	r.mu.Unlock()
	r.wake.Set()
}

// catchUp returns when an attempt was made to write every record that is dirty now, or after most.
func (r *recorder) catchUp(ctx context.Context, most time.Duration) {
	tried := make(chan struct{})
	r.mu.Lock()
	r.awaiting = append(r.awaiting, tried)
	r.mu.Unlock()
	r.wake.Set()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Run writes until ctx ends. It gives yield each call that another gateway leads by now.
func (r *recorder) Run(ctx context.Context, yield func(*call)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake.C():
		}
		whole := r.flush(context.WithoutCancel(ctx), yield)
		r.acknowledge(context.WithoutCancel(ctx))
		if whole {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(recordRetry):
			r.wake.Set()
		}
	}
}

// flush writes the dirty records and reports whether Redis took all of them.
func (r *recorder) flush(ctx context.Context, yield func(*call)) bool {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	dirty := r.dirty
	r.dirty = make(map[faas.InvocationID]*call, len(dirty))
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
	for _, c := range dirty {
		inv, isAlone := c.toWrite()
		if isAlone {
			alone = append(alone, c)
			continue
		}
		together = append(together, withoutTask(inv, inv.State.Final()))
	}
	ok := r.saveTogether(ctx, dirty, together)
	for _, c := range alone {
		if !r.settle(ctx, c, yield) {
			r.save(c)
			ok = false
		}
	}
	return ok
}

// saveTogether writes many records in few round trips.
func (r *recorder) saveTogether(ctx context.Context, dirty map[faas.InvocationID]*call, records []*faas.Invocation) bool {
	if len(records) == 0 {
		return true
	}
	if err := r.records.SaveInvocations(ctx, records); err != nil {
		r.failed("save records", err)
		r.retry(dirty, records)
		return false
	}
	for _, inv := range records {
		if inv.State.Final() {
			r.meter.Settled(inv)
			r.recorded(dirty[inv.ID])
		}
	}
	return true
}

// retry marks the calls dirty again whose records were not written.
func (r *recorder) retry(dirty map[faas.InvocationID]*call, records []*faas.Invocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, inv := range records {
		if _, newer := r.dirty[inv.ID]; !newer {
			r.dirty[inv.ID] = dirty[inv.ID]
		}
	}
}

// settle writes a final record, once; what the runner reports later of its uploads is added to it.
func (r *recorder) settle(ctx context.Context, c *call, yield func(*call)) bool {
	inv := c.record()
	if c.was(recorded) {
		return r.complete(ctx, c, inv)
	}
	settled, applied, err := r.records.Settle(ctx, withoutTask(inv, true))
	if faas.KindOf(err) == faas.Conflict { // another gateway leads it by now
		yield(c)
		return true
	}
	if err != nil {
		r.failed("settle a record", err)
		return false
	}
	if applied {
		r.meter.Settled(inv)
	} else {
		r.meter.Released()
		c.adoptRecord(settled)
	}
	r.recorded(c)
	return true
}

// complete adds to a record that is final in Redis what the runner has uploaded since.
func (r *recorder) complete(ctx context.Context, c *call, inv *faas.Invocation) bool {
	_, err := r.records.UpdateInvocation(ctx, c.id, func(i *faas.Invocation) error {
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
	r.recorded(c)
	return true
}

// recorded notes that the final record is in Redis, schedules the acknowledgement, and forgets the call if its runner
// has nothing more to report.
func (r *recorder) recorded(c *call) {
	first, over := c.recorded()
	if first && c.record().Inner.Runner != "" {
		r.unreported = append(r.unreported, c.id)
	}
	if over {
		r.calls.forget(c)
	}
}

// acknowledge tells runners which outcomes are safe, and wakes readers. A runner that misses the acknowledgement
// reports the invocation again when it reconnects.
func (r *recorder) acknowledge(ctx context.Context) {
	r.writing.Lock()
	acks := r.unreported
	r.unreported = nil
	r.writing.Unlock()
	r.calls.changed.Send()
	if len(acks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	if err := r.acks.AckAll(ctx, acks); err != nil {
		r.log.Debug("acknowledging outcomes failed", "error", err)
	}
}

func (r *recorder) failed(what string, err error) {
	r.errors.StoreError("redis")
	r.log.Warn("writing records failed; retrying", "what", what, "error", err)
}

// withoutTask returns the record as it is kept when it is over: nobody runs its task again.
func withoutTask(inv *faas.Invocation, over bool) *faas.Invocation {
	if !over || inv.Inner.Task == nil {
		return inv
	}
	c := inv.Clone()
	c.Inner.Task = nil
	return c
}
