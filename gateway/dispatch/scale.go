package dispatch

import (
	"context"
	"sync"
	"time"

	"davit/internal/faas"
)

const (
	scaleEvery = time.Second
	// strayFor is how long a runner may be idle whose revision is not wanted here:
	// another gateway may be about to make it live.
	strayFor = 5 * time.Second
	// toldFor is within what time an end is told that was told before: by an event, then by the launcher.
	toldFor = time.Minute
)

// scaler keeps as many ready runners as functions ask for: standby ones parked,
// warm ones between min and max by the calls in flight and queued, and none of
// revisions that are not live, once they have nothing to do. Of several gateways
// one does so for all: the others only tell it what they want.
type scaler struct {
	d    *Dispatcher
	kick chan struct{}

	mu      sync.Mutex
	touched map[faas.RevisionRef]bool    // to be looked at before the next tick; true: its runners go if nobody wants them
	demand  map[faas.RevisionRef]*demand // wanted by calls, or to become live
	unsaid  bool                         // the leader is not told of it
	stale   bool                         // others want something else by now, or nobody leads
	lead    lead
	others  map[faas.RevisionRef]*demand     // of other gateways, while this one leads
	leaving map[faas.RevisionRef]time.Time   // which others were about to make live, until then
	idle    map[faas.RunnerID]time.Time      // since when a warm runner has had nothing to do
	failing map[faas.RevisionRef]*backoffRun // whose runners ended before they parked
	paces   map[faas.RevisionRef]*pace       // of functions whose standby depth follows demand
	fills   map[group]*fill
	starved map[faas.RevisionRef]bool   // that found no room for runners
	away    map[faas.RunnerID]time.Time // since when a kept runner is out of touch
	ended   map[faas.RunnerID]time.Time // standby and warm ones, when that was told first
}

// backoffRun slows down the starts of runners that keep failing.
type backoffRun struct {
	failures int
	until    time.Time
}

func newScaler(d *Dispatcher) *scaler {
	return &scaler{
		d: d, kick: make(chan struct{}, 1),
		touched: make(map[faas.RevisionRef]bool),
		demand:  make(map[faas.RevisionRef]*demand),
		leaving: make(map[faas.RevisionRef]time.Time),
		idle:    make(map[faas.RunnerID]time.Time),
		failing: make(map[faas.RevisionRef]*backoffRun),
		paces:   make(map[faas.RevisionRef]*pace),
		fills:   make(map[group]*fill),
		starved: make(map[faas.RevisionRef]bool),
		away:    make(map[faas.RunnerID]time.Time),
		ended:   make(map[faas.RunnerID]time.Time),
	}
}

// Run scales on every change and once a second, until ctx ends.
func (s *scaler) Run(ctx context.Context) error {
	tick := time.NewTicker(scaleEvery)
	defer tick.Stop()
	s.all(ctx)
	for {
		select {
		case <-ctx.Done():
			s.resign(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			s.all(ctx)
		case <-s.kick:
			s.changed(ctx)
		}
	}
}

// touch has a revision looked at soon; leave says that its runners are to go if nobody wants them.
func (s *scaler) touch(ref faas.RevisionRef, leave bool) {
	s.mu.Lock()
	s.touched[ref] = s.touched[ref] || leave
	s.mu.Unlock()
	s.wake()
}

func (s *scaler) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// exited slows the starts of a revision down whose runners fail, and reports
// whether that end is news.
func (s *scaler) exited(e *Exit) (news bool) {
	s.mu.Lock()
	delete(s.idle, e.Runner)
	delete(s.away, e.Runner)
	if _, told := s.ended[e.Runner]; told {
		s.mu.Unlock()
		return false
	}
	if e.Runner != "" && e.Start != faas.StartJob {
		s.ended[e.Runner] = s.d.Now()
	}
	if e.Reason == "" || e.Start == faas.StartJob {
		delete(s.failing, e.Ref)
	} else {
		f := s.failing[e.Ref]
		if f == nil {
			f = &backoffRun{}
			s.failing[e.Ref] = f
		}
		f.failures++
		pause := min(100*time.Millisecond<<min(f.failures, 10), 30*time.Second)
		f.until = s.d.Now().Add(pause)
	}
	s.mu.Unlock()
	s.touch(e.Ref, false)
	return true
}

func (s *scaler) slowed(ref faas.RevisionRef) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.failing[ref]
	return f != nil && s.d.Now().Before(f.until)
}

// changed looks at what was touched. Who does not lead tells the leader of it, and
// only ends what itself had brought up to become live.
func (s *scaler) changed(ctx context.Context) {
	if s.d.isStopping() {
		s.resign(ctx)
	} else if s.hasNews() {
		s.confer(ctx)
		defer pause(ctx, shareEvery)
	}
	s.mu.Lock()
	refs := s.touched
	s.touched = make(map[faas.RevisionRef]bool)
	s.mu.Unlock()
	leads := s.leads()
	for ref, leaves := range refs {
		switch rev, _ := s.wanted(ref); {
		case rev != nil && leads:
			s.one(ctx, rev)
		case rev == nil && leaves:
			s.retire(ctx, ref)
		}
	}
}

// hasNews reports whether the leader is to be told something, or to ask.
func (s *scaler) hasNews() bool {
	leads := s.leads()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stale || s.unsaid && !leads
}

func pause(ctx context.Context, long time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(long):
	}
}

// all looks at every revision, if this gateway leads.
func (s *scaler) all(ctx context.Context) {
	if s.d.isStopping() {
		s.resign(ctx)
		return
	}
	s.tickPaces()
	s.confer(ctx)
	leads := s.leads()
	if leads || !s.d.Shared {
		s.endSilent(ctx)
	}
	if !leads {
		return
	}
	for _, rev := range s.d.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() != faas.ModeJob {
			s.one(ctx, rev)
		}
	}
	for _, ref := range s.refs() {
		if rev, _ := s.wanted(ref); rev != nil {
			s.one(ctx, rev)
		}
	}
	for _, ref := range s.left(s.d.Now()) {
		if rev, _ := s.wanted(ref); rev == nil {
			s.retire(ctx, ref)
		}
	}
	s.shareOut(ctx)
	s.shrink(ctx)
	s.tidy()
}

// one brings up what a revision lacks.
func (s *scaler) one(ctx context.Context, rev *faas.Revision) {
	ref := rev.Ref()
	if s.slowed(ref) || s.d.isStopping() {
		return
	}
	counts := s.d.hub.Slots(ref)
	asked := s.asked(ref)
	if rev.Spec.Mode == faas.ModeWarm {
		have := counts[faas.StartWarm]
		s.scale(ctx, rev, faas.StartWarm, max(warmTarget(rev.Spec.Warm, have.Busy+asked.waiting), min(asked.keepers, 1)))
		if asked.keepers > 0 {
			return // it is the warm one that is waited for
		}
	}
	if keep := rev.Spec.Standby; keep != nil && keep.Max > 0 {
		have := counts[faas.StartStandby]
		used := min(have.Busy, rev.Spec.MaxConcurrency) // those that still upload are busy, too
		if asked.keepers > 0 {
			used = 0 // it is the first one, as its keeper looks at it
		}
		s.scale(ctx, rev, faas.StartStandby, s.depth(rev)+used-asked.jobs)
	}
}

// warmTarget is how many warm runners so many calls in flight and queued need.
func warmTarget(w *faas.Warm, calls int) int {
	per := max(w.Concurrency, 1)
	return min(max((calls+per-1)/per, w.Min), w.Max)
}

// scale asks the launcher for what is not there already, started by it or by another's.
func (s *scaler) scale(ctx context.Context, rev *faas.Revision, start faas.Start, target int) {
	ref := rev.Ref()
	own, elsewhere := s.count(ref, start)
	missing := s.granted(ctx, ref, target-elsewhere-own)
	if missing <= 0 {
		return
	}
	s.started(group{ref, start}, missing)
	if err := s.d.Launcher.Scale(ctx, rev, start, own+missing); err != nil && ctx.Err() == nil {
		for range missing {
			s.filled(group{ref, start}, false)
		}
		s.d.Logger.Warn("start runners", "function", rev.Function, "revision", rev.Number, "start", start, "error", err)
		s.d.notLaunched(ref, err)
		s.d.tellNotLaunched(ref, start, err)
		s.exited(&Exit{Start: start, Ref: ref, Reason: faas.ReasonRunnerLost})
	}
}
