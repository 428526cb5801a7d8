package fleet

import (
	"context"
	"time"

	"davit/internal/backoff"
	"davit/internal/faas"
)

const (
	scaleEvery = time.Second
	// shareEvery is how long a gateway that does not lead waits before it publishes further changes.
	shareEvery = 5 * time.Millisecond
)

// New returns a Fleet; Run must run beside it.
func New(o Options) *Fleet {
	if o.First <= 0 {
		o.First = time.Minute
	}
	base, stop := context.WithCancel(context.Background())
	f := &Fleet{
		o: o, queue: newQueue(), demands: newDemands(), depths: newDepths(o.Now), presence: newPresence(), backoffs: newBackoffs(), firsts: newFirsts(),
		election: &election{gateway: o.Gateway, leader: o.Leader, log: o.Log, now: o.Now},
		exits:    &exitPublisher{gateway: o.Gateway, leader: o.Leader, log: o.Log, base: base},
		stop:     stop,
	}
	f.readier = &readier{
		queue: f.queue, demands: f.demands, backoffs: f.backoffs, firsts: f.firsts,
		runners: o.Runners, claimer: o.Claimer, within: o.First, now: o.Now,
	}
	return f
}

// Run scales on every change and once a second, until ctx ends. It returns when everything that it started has ended.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.exits.work.Wait()
	defer f.stop()
	tick := time.NewTicker(scaleEvery)
	defer tick.Stop()
	f.scaleAll(ctx)
	for {
		select {
		case <-ctx.Done():
			f.election.resign(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			f.scaleAll(ctx)
		case <-f.queue.wake.C():
			f.scaleTouched(ctx)
		}
	}
}

// Stop gives up the lead and this gateway's demand, and ends the waits for first runners with an Unavailable error. Run
// goes on, and starts no more runners.
func (f *Fleet) Stop() {
	f.stopping.Store(true)
	f.firsts.stop(errShutdown)
	f.queue.wake.Set()
}

// share publishes demand, and takes over the demand of the others if this gateway leads.
func (f *Fleet) share(ctx context.Context) {
	f.queue.setStale(false)
	leads, others, err := f.election.share(ctx, f.demands.publish(f.depths.rates(), f.o.Catalog.Live))
	switch {
	case err != nil:
		f.demands.markChanged()
	case !leads:
		f.demands.clearOthers()
	default:
		changed, begun := f.demands.setOthers(others, f.o.Now())
		for _, ref := range begun {
			f.backoffs.reset(ref)
		}
		f.queue.touchAll(changed)
	}
}

// scaleTouched scales the touched revisions. A gateway that does not lead publishes its demand to the leader, and only
// drains the runners that it had started to make a revision live.
func (f *Fleet) scaleTouched(ctx context.Context) {
	if f.stopping.Load() {
		f.election.resign(ctx)
	} else if f.hasNews() {
		f.share(ctx)
		defer func() { _ = backoff.Pause(ctx, shareEvery) }()
	}
	leads := f.election.leads()
	for ref, drain := range f.queue.take() {
		switch rev, _ := f.wanted(ref); {
		case rev != nil && leads:
			f.scaleRevision(ctx, rev)
		case rev == nil && drain:
			f.retire(ctx, ref)
		}
	}
}

// scaleAll scales every revision, if this gateway leads.
func (f *Fleet) scaleAll(ctx context.Context) {
	if f.stopping.Load() {
		f.election.resign(ctx)
		return
	}
	f.depths.tick()
	f.share(ctx)
	leads := f.election.leads()
	if leads || !f.o.Shared {
		f.endUnresponsive(ctx)
	}
	if !leads {
		return
	}
	for _, rev := range f.o.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() != faas.ModeJob {
			f.scaleRevision(ctx, rev)
		}
	}
	for _, ref := range f.demands.refs() {
		if rev, _ := f.wanted(ref); rev != nil {
			f.scaleRevision(ctx, rev)
		}
	}
	for _, ref := range f.demands.takeDropped(f.o.Now()) {
		if rev, _ := f.wanted(ref); rev == nil {
			f.retire(ctx, ref)
		}
	}
	f.rebalance(ctx)
	f.drainIdle(ctx)
	f.depths.tidy()
}
