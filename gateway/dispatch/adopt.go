package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
)

const (
	adoptEvery   = time.Second
	abandonEvery = 15 * time.Second // how often Redis is searched for what nobody leads
	settleSlack  = 3 * time.Second  // in which the gateway that leads a call settles it itself
	maxOutcome   = 4 << 20          // bytes of an outcome.json
)

// foreign is an invocation that a connected runner holds and that another
// gateway leads, or led: if that one is gone, this one takes it over.
type foreign struct {
	runner   faas.RunnerID
	record   *faas.Invocation
	outcome  *task.Outcome
	uploaded bool
	since    time.Time // of the last news
}

func (d *Dispatcher) meet(runner faas.RunnerID, h *task.Held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.foreign[h.Record.ID] = &foreign{runner: runner, record: h.Record.Clone(), outcome: h.Outcome, uploaded: h.Uploaded, since: d.Now()}
}

func (d *Dispatcher) part(id faas.InvocationID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.foreign, id)
}

func (d *Dispatcher) overhear(runner faas.RunnerID, e task.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.foreign[e.Invocation]
	if f == nil {
		if e.Record == nil {
			return
		}
		f = &foreign{runner: runner}
		d.foreign[e.Invocation] = f
	}
	if e.Record != nil {
		f.record = e.Record
	}
	if e.Outcome != nil {
		f.outcome = e.Outcome
	}
	f.uploaded = f.uploaded || e.Kind == task.EventStored
	f.since = d.Now()
}

// runAdoption takes over what gateways that died have led, and gives up on
// runners that stay away.
func (d *Dispatcher) runAdoption(ctx context.Context) error {
	tick := time.NewTicker(adoptEvery)
	defer tick.Stop()
	var searched time.Time
	var idle map[faas.RunnerID]bool // jobs' runners, when that was looked at last
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		d.settleMissed()
		live, err := d.Gateways.LiveGatewayIDs(ctx)
		if err != nil {
			continue
		}
		d.adoptForeign(ctx, live)
		d.takeQueued(ctx)
		if now := d.Now(); now.Sub(searched) > abandonEvery {
			searched = now
			d.leaveEnded(ctx)
			d.adoptAbandoned(ctx, live)
			idle = d.endLeftOver(ctx, idle)
		}
	}
}

// settleMissed resolves the calls whose runner was out of touch for too long.
func (d *Dispatcher) settleMissed() {
	now := d.Now()
	d.mu.Lock()
	var late []*call
	for _, c := range d.calls {
		if c.missedFor(now) > d.Limits.Grace {
			late = append(late, c)
		}
	}
	d.mu.Unlock()
	for _, c := range late {
		c.found()
		d.work.Go(func() {
			d.resolve(d.base, c, d.silence(c))
		})
	}
}

// silence is why a runner is out of touch for so long.
func (d *Dispatcher) silence(c *call) *loss {
	if reason, detail, known := d.Launcher.Explain(c.current().Inner.Runner); known {
		return &loss{reason, detail}
	}
	return &loss{faas.ReasonRunnerLost, "its runner is out of touch since " + d.Limits.Grace.String()}
}

func (c *call) missedFor(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missedAt.IsZero() || c.stored.isSet() {
		return 0
	}
	return now.Sub(c.missedAt)
}

// resolve settles a call whose runner is gone: by the outcome that it left in the
// store, by the one that it told, else as lost. A runner that is merely thought to
// be gone, and is connected, is left alone.
func (d *Dispatcher) resolve(ctx context.Context, c *call, l *loss) {
	if _, held := d.hub.Owner(c.id); held && l.reason == faas.ReasonRunnerLost || c.stored.isSet() {
		return
	}
	o, err := d.storedOutcome(ctx, c.id, c.snapshot().Attempt)
	if ctx.Err() != nil {
		return // the next gateway looks again
	}
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		d.Logger.Warn("look for the outcome of a lost runner; trying again", "invocation", c.id, "error", err)
		c.missed(d.Now())
		return
	}
	if err == nil {
		d.end(c, o)
		d.uploaded(c, o)
		return
	}
	if told := c.outcomeKnown(); told != nil { // by an event, or to a caller
		d.uploaded(c, unstored(told, c.snapshot().Inner.Accepted))
		return
	}
	d.lose(c, l.reason, l.detail)
}

// unstored is the outcome of a command whose result went with its runner. To
// those who were promised the result by id, that is a failure.
func unstored(told *task.Outcome, promised bool) *task.Outcome {
	o := *told
	if promised && o.Reason == "" && (o.Result == nil || !o.Result.Stored) {
		o.Reason, o.Detail = faas.ReasonStoreUnavailable, "the command succeeded, but its runner ended before the result was stored"
	}
	return &o
}

func (c *call) outcomeKnown() *task.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcome
}

// storedOutcome reads what a runner wrote last.
func (d *Dispatcher) storedOutcome(ctx context.Context, id faas.InvocationID, attempt int) (*task.Outcome, error) {
	r, _, err := d.Objects.Get(ctx, outcomeKey(id, attempt), 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	var o task.Outcome
	if err := json.NewDecoder(io.LimitReader(r, maxOutcome)).Decode(&o); err != nil {
		return nil, err
	}
	return &o, nil
}

// adoptForeign takes over what connected runners hold and no live gateway leads.
func (d *Dispatcher) adoptForeign(ctx context.Context, live []faas.GatewayID) {
	now := d.Now()
	d.mu.Lock()
	due := make(map[faas.InvocationID]*foreign)
	for id, f := range d.foreign {
		if now.Sub(f.since) > settleSlack && f.record != nil {
			due[id] = f
		}
	}
	d.mu.Unlock()
	for id, f := range due {
		switch _, held := d.hub.Owner(id); {
		case !held && f.outcome != nil:
			d.part(id) // it was settled, and its runner has forgotten it
		case !d.ledElsewhere(f.record, live):
			d.adoptHeld(ctx, id, f, live)
		}
	}
}

// ledElsewhere reports whether another live gateway leads the invocation, or one
// that gives it to its runner just now: that one knows only the id yet.
func (d *Dispatcher) ledElsewhere(record *faas.Invocation, live []faas.GatewayID) bool {
	return record.Inner == nil || slices.Contains(live, record.Inner.Gateway) && record.Inner.Gateway != d.Gateway
}

func (d *Dispatcher) adoptHeld(ctx context.Context, id faas.InvocationID, f *foreign, live []faas.GatewayID) {
	record, err := d.Records.FindInvocation(ctx, id)
	switch {
	case faas.KindOf(err) == faas.NotFound:
		record = f.record
	case err != nil:
		return
	case record.State.Final():
		d.part(id)
		if f.outcome != nil {
			_ = d.hub.AckAll(ctx, []faas.InvocationID{id}) // a runner that does not hear it says so again
		}
		return
	case record.Inner != nil && record.Inner.Accepted:
		return // its lease says when it may be taken over
	case d.ledElsewhere(record, live):
		return
	}
	c := d.adopt(ctx, record, f.runner)
	d.Logger.Info("took over an invocation that its runner holds", "invocation", id, "runner", f.runner)
	d.catchUp(c, f)
}

// catchUp does what the runner's events would have done.
func (d *Dispatcher) catchUp(c *call, f *foreign) {
	if f == nil || f.outcome == nil {
		return
	}
	d.end(c, f.outcome)
	if f.uploaded {
		d.uploaded(c, f.outcome)
	}
}

// overheard returns a copy of what is known of an invocation that another gateway leads.
func (d *Dispatcher) overheard(id faas.InvocationID) *foreign {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.foreign[id]; f != nil {
		known := *f
		return &known
	}
	return nil
}

// adopt makes this gateway lead an invocation from its record. A
// revision that is unknown here does not matter to one that runs already.
func (d *Dispatcher) adopt(ctx context.Context, record *faas.Invocation, runner faas.RunnerID) *call {
	rev, err := d.Catalog.Revision(ctx, record.Ref())
	if err != nil {
		rev = &faas.Revision{Function: record.Function, Number: record.Revision}
	}
	t, err := unpackTask(record)
	if err != nil {
		t = &task.Task{}
	}
	inv := record.Clone()
	if inv.Inner == nil {
		inv.Inner = &faas.Inner{}
	}
	inv.Inner.Gateway = d.Gateway
	if runner != "" {
		inv.Inner.Runner = runner
	}
	c := newCall(d, inv, rev, t)
	c.reported = true
	c.commit = inv.Inner.Runner != ""
	d.add(c)
	d.Meter.Adopted()
	d.recorder.save(c)
	return c
}

// takeQueued takes over accepted invocations whose lease ran out.
func (d *Dispatcher) takeQueued(ctx context.Context) {
	now := d.Now()
	taken, err := d.Queue.TakeExpired(ctx, d.Gateway, now, now.Add(d.Limits.Lease), 100)
	if err != nil {
		return
	}
	for _, record := range taken {
		if d.find(record.ID) != nil {
			continue
		}
		d.takeOver(ctx, record)
	}
}

func (d *Dispatcher) takeOver(ctx context.Context, record *faas.Invocation) {
	var runner faas.RunnerID
	if record.Inner != nil {
		runner = record.Inner.Runner
	}
	f := d.overheard(record.ID)
	if f != nil {
		runner = f.runner
	}
	c := d.adopt(ctx, record, runner)
	d.Logger.Info("took over an invocation", "invocation", record.ID, "state", record.State, "runner", runner)
	switch {
	case record.Inner != nil && record.Inner.Cancelled && !c.commit:
		d.lose(c, faas.ReasonCancelled, "cancelled before it ran")
		return
	case c.commit:
		d.catchUp(c, f)
		if _, held := d.hub.Owner(c.id); !held {
			c.missed(d.Now())
		}
	case len(c.task.Command) == 0:
		d.lose(c, faas.ReasonRunnerLost, "its record holds no task")
		return
	}
	d.background(func(ctx context.Context) { d.lead(ctx, c) })
}

// adoptAbandoned takes over calls that were led by a gateway that is gone, were
// never accepted, and whose runner is not connected.
func (d *Dispatcher) adoptAbandoned(ctx context.Context, live []faas.GatewayID) {
	for _, state := range []faas.State{faas.Queued, faas.Starting, faas.Running} {
		cursor := ""
		for {
			items, next, err := d.Archive.ListInvocations(ctx, faas.InvocationFilter{State: state, Limit: 500, Cursor: cursor})
			if err != nil {
				return
			}
			for _, record := range items {
				d.adoptAlone(ctx, record, live)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
	}
}

func (d *Dispatcher) adoptAlone(ctx context.Context, record *faas.Invocation, live []faas.GatewayID) {
	in := record.Inner
	if in == nil || in.Accepted || d.find(record.ID) != nil || slices.Contains(live, in.Gateway) {
		return
	}
	if _, held := d.hub.Owner(record.ID); held {
		return
	}
	c := d.adopt(ctx, record, in.Runner)
	if in.Runner == "" {
		d.lose(c, faas.ReasonRunnerLost, "the gateway that held the caller died before it ran")
		return
	}
	c.missed(d.Now())
}
