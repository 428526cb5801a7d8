package dispatch

import (
	"context"
	"sync"
	"time"

	"davit/gateway/faas"
	"davit/gateway/hub"
)

const scaleEvery = time.Second

// scaler keeps as many ready runners as functions ask for: standby ones parked,
// warm ones between min and max by the calls in flight and queued, and none of
// revisions that are no longer live.
type scaler struct {
	d    *Dispatcher
	kick chan struct{}

	mu      sync.Mutex
	touched map[faas.RevisionRef]bool        // to be looked at before the next tick
	demand  map[faas.RevisionRef]*demand     // with calls that wait for a warm slot
	idle    map[faas.RunnerID]time.Time      // since when a warm runner has had nothing to do
	failing map[faas.RevisionRef]*backoffRun // whose runners ended before they parked
}

type demand struct {
	rev     *faas.Revision
	waiting int
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
		idle:    make(map[faas.RunnerID]time.Time),
		failing: make(map[faas.RevisionRef]*backoffRun),
	}
}

// Run scales on every change and once a second, until ctx ends.
func (s *scaler) Run(ctx context.Context) error {
	tick := time.NewTicker(scaleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.all(ctx)
		case <-s.kick:
			s.changed(ctx)
		}
	}
}

// expect notes a call that waits for a warm slot; done takes it back.
func (s *scaler) expect(rev *faas.Revision) (done func()) {
	ref := rev.Ref()
	s.mu.Lock()
	w := s.demand[ref]
	if w == nil {
		w = &demand{rev: rev}
		s.demand[ref] = w
	}
	w.waiting++
	s.mu.Unlock()
	s.touch(ref)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.waiting--; w.waiting == 0 {
			delete(s.demand, ref)
		}
	}
}

// touch has a revision looked at soon.
func (s *scaler) touch(ref faas.RevisionRef) {
	s.mu.Lock()
	s.touched[ref] = true
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// exited slows the starts of a revision down whose runners fail.
func (s *scaler) exited(e Exit) {
	s.mu.Lock()
	delete(s.idle, e.Runner)
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
	s.touch(e.Ref)
}

func (s *scaler) slowed(ref faas.RevisionRef) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.failing[ref]
	return f != nil && s.d.Now().Before(f.until)
}

func (s *scaler) changed(ctx context.Context) {
	s.mu.Lock()
	refs := s.touched
	s.touched = make(map[faas.RevisionRef]bool)
	s.mu.Unlock()
	for ref := range refs {
		rev, err := s.d.Catalog.Live(ref.Function)
		if err == nil && rev.Ref() == ref {
			s.one(ctx, rev)
			continue
		}
		s.mu.Lock()
		w := s.demand[ref]
		s.mu.Unlock()
		if w != nil {
			s.one(ctx, w.rev)
		}
	}
}

func (s *scaler) all(ctx context.Context) {
	wanted := make(map[faas.RevisionRef]*faas.Revision)
	for _, rev := range s.d.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() != faas.ModeJob {
			wanted[rev.Ref()] = rev
		}
	}
	s.mu.Lock()
	for ref, w := range s.demand {
		wanted[ref] = w.rev
	}
	s.mu.Unlock()
	for _, rev := range wanted {
		s.one(ctx, rev)
	}
	s.shrink(ctx, wanted)
}

// one brings up what a revision lacks.
func (s *scaler) one(ctx context.Context, rev *faas.Revision) {
	ref := rev.Ref()
	if s.slowed(ref) || s.d.isStopping() {
		return
	}
	counts := s.d.hub.Slots(ref)
	if keep := rev.Spec.Standby; keep != nil && keep.Max > 0 && rev.Spec.Mode != faas.ModeWarm {
		have := counts[faas.StartStandby]
		used := min(have.Busy, rev.Spec.MaxConcurrency) // those that still upload are busy, too
		s.scale(ctx, rev, faas.StartStandby, keep.Min+used, have)
	}
	if rev.Spec.Mode == faas.ModeWarm {
		have := counts[faas.StartWarm]
		s.scale(ctx, rev, faas.StartWarm, s.warmTarget(rev, have), have)
	}
}

// warmTarget is how many warm runners the calls in flight and queued need.
func (s *scaler) warmTarget(rev *faas.Revision, have hub.Counts) int {
	w := rev.Spec.Warm
	s.mu.Lock()
	waiting := 0
	if d := s.demand[rev.Ref()]; d != nil {
		waiting = d.waiting
	}
	s.mu.Unlock()
	per := max(w.Concurrency, 1)
	need := (have.Busy + waiting + per - 1) / per
	return min(max(need, w.Min), w.Max)
}

// scale asks the launcher for what other gateways' launchers do not have already.
func (s *scaler) scale(ctx context.Context, rev *faas.Revision, start faas.Start, target int, have hub.Counts) {
	own := s.d.Launcher.Running(rev.Ref(), start)
	elsewhere := max(0, have.Runners-own)
	if target <= own+elsewhere {
		return
	}
	if err := s.d.Launcher.Scale(ctx, rev, start, target-elsewhere); err != nil && ctx.Err() == nil {
		s.d.Logger.Warn("start runners", "function", rev.Function, "revision", rev.Number, "start", start, "error", err)
		s.exited(Exit{Start: start, Ref: rev.Ref(), Reason: faas.ReasonRunnerLost})
	}
}

// shrink drains warm runners that were idle for long, and all runners of revisions that nobody calls.
func (s *scaler) shrink(ctx context.Context, wanted map[faas.RevisionRef]*faas.Revision) {
	now := s.d.Now()
	left := make(map[faas.RevisionRef]int)
	for _, r := range s.d.hub.Runners() {
		if r.Draining || r.Hello.Start == faas.StartJob {
			continue
		}
		ref := r.Hello.Ref()
		rev := wanted[ref]
		if rev != nil && (r.Busy > 0 || r.Hello.Start == faas.StartStandby) {
			s.markBusy(r.Hello.Runner)
			left[ref]++
			continue
		}
		if rev != nil && (now.Sub(s.idleSince(r.Hello.Runner, now)) < rev.Spec.Warm.Idle.Std() || left[ref] < rev.Spec.Warm.Min) {
			left[ref]++
			continue
		}
		if err := s.d.hub.Drain(ctx, r.Hello.Runner); err != nil {
			s.d.Logger.Debug("drain a runner", "runner", r.Hello.Runner, "error", err)
		}
	}
}

func (s *scaler) markBusy(id faas.RunnerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.idle, id)
}

func (s *scaler) idleSince(id faas.RunnerID, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, known := s.idle[id]
	if !known {
		s.idle[id] = now
		return now
	}
	return since
}
