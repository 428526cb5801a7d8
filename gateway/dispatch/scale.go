package dispatch

import (
	"context"
	"maps"
	"sync"
	"time"

	"davit/gateway/faas"
	"davit/gateway/hub"
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
// revisions that are not live, once they have nothing to do.
type scaler struct {
	d    *Dispatcher
	kick chan struct{}

	mu      sync.Mutex
	touched map[faas.RevisionRef]bool        // to be looked at before the next tick; true: its runners go if nobody wants them
	demand  map[faas.RevisionRef]*demand     // wanted by calls, or to become live
	idle    map[faas.RunnerID]time.Time      // since when a warm runner has had nothing to do
	failing map[faas.RevisionRef]*backoffRun // whose runners ended before they parked
	ended   map[faas.RunnerID]time.Time      // standby and warm ones, when that was told first
}

type demand struct {
	rev     *faas.Revision
	waiting int // for a slot
	keepers int // that are about to make it live
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
		ended:   make(map[faas.RunnerID]time.Time),
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
	s.ask(rev, 1, 0)
	s.touch(rev.Ref(), false)
	return func() { s.ask(rev, -1, 0) }
}

// keep has a runner of a revision brought up and stay though it is not live, and
// forgets how earlier ones failed. After release they go, unless it is live by then.
func (s *scaler) keep(rev *faas.Revision) (release func()) {
	ref := rev.Ref()
	s.ask(rev, 0, 1)
	s.mu.Lock()
	delete(s.failing, ref)
	s.mu.Unlock()
	s.touch(ref, false)
	return sync.OnceFunc(func() {
		s.ask(rev, 0, -1)
		s.touch(ref, true)
	})
}

// ask changes the demand for a revision.
func (s *scaler) ask(rev *faas.Revision, waiting, keepers int) {
	ref := rev.Ref()
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.demand[ref]
	if w == nil {
		w = &demand{rev: rev}
		s.demand[ref] = w
	}
	w.waiting += waiting
	w.keepers += keepers
	if w.waiting == 0 && w.keepers == 0 {
		delete(s.demand, ref)
	}
}

// touch has a revision looked at soon; leave says that its runners are to go if nobody wants them.
func (s *scaler) touch(ref faas.RevisionRef, leave bool) {
	s.mu.Lock()
	s.touched[ref] = s.touched[ref] || leave
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// exited slows the starts of a revision down whose runners fail, and reports
// whether that end is news.
func (s *scaler) exited(e Exit) (news bool) {
	s.mu.Lock()
	delete(s.idle, e.Runner)
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

func (s *scaler) changed(ctx context.Context) {
	s.mu.Lock()
	refs := s.touched
	s.touched = make(map[faas.RevisionRef]bool)
	s.mu.Unlock()
	for ref, leaves := range refs {
		switch rev, _ := s.wanted(ref); {
		case rev != nil:
			s.one(ctx, rev)
		case leaves:
			s.retire(ctx, ref)
		}
	}
}

// wanted returns the revision when its runners are of use here, since it is live
// or somebody waits for it, and how many are to stay however idle they are.
func (s *scaler) wanted(ref faas.RevisionRef) (rev *faas.Revision, least int) {
	s.mu.Lock()
	if w := s.demand[ref]; w != nil {
		rev, least = w.rev, min(w.keepers, 1)
	}
	s.mu.Unlock()
	live, err := s.d.Catalog.Live(ref.Function)
	if err == nil && live.Ref() == ref && live.Spec.LooseMode() != faas.ModeJob {
		rev, least = live, max(least, live.Spec.Warm.Min)
	}
	return rev, least
}

func (s *scaler) all(ctx context.Context) {
	for _, rev := range s.d.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() != faas.ModeJob {
			s.one(ctx, rev)
		}
	}
	s.mu.Lock()
	asked := make([]*faas.Revision, 0, len(s.demand))
	for _, w := range s.demand {
		asked = append(asked, w.rev)
	}
	s.mu.Unlock()
	for _, rev := range asked {
		s.one(ctx, rev)
	}
	s.shrink(ctx)
}

// one brings up what a revision lacks.
func (s *scaler) one(ctx context.Context, rev *faas.Revision) {
	ref := rev.Ref()
	if s.slowed(ref) || s.d.isStopping() {
		return
	}
	counts := s.d.hub.Slots(ref)
	waiting, keepers := s.asked(ref)
	if rev.Spec.Mode == faas.ModeWarm {
		have := counts[faas.StartWarm]
		s.scale(ctx, rev, faas.StartWarm, max(warmTarget(rev.Spec.Warm, have.Busy+waiting), min(keepers, 1)), have)
		return
	}
	if keep := rev.Spec.Standby; keep != nil && keep.Max > 0 {
		have := counts[faas.StartStandby]
		used := min(have.Busy, rev.Spec.MaxConcurrency) // those that still upload are busy, too
		if keepers > 0 {
			used = 0 // it is the first one, as its keeper looks at it
		}
		s.scale(ctx, rev, faas.StartStandby, keep.Min+used, have)
	}
}

// asked returns who waits for a slot of a revision, and who is about to make it live.
func (s *scaler) asked(ref faas.RevisionRef) (waiting, keepers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.demand[ref]; w != nil {
		return w.waiting, w.keepers
	}
	return 0, 0
}

// warmTarget is how many warm runners so many calls in flight and queued need.
func warmTarget(w *faas.Warm, calls int) int {
	per := max(w.Concurrency, 1)
	return min(max((calls+per-1)/per, w.Min), w.Max)
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
		s.d.notLaunched(rev.Ref(), err)
		s.exited(Exit{Start: start, Ref: rev.Ref(), Reason: faas.ReasonRunnerLost})
	}
}

// shrink drains the runners that are of no use any more.
func (s *scaler) shrink(ctx context.Context) {
	now := s.d.Now()
	left := make(map[faas.RevisionRef]int)
	runners := s.d.hub.Runners()
	for i := range runners {
		r := &runners[i]
		if r.Draining || r.Hello.Start == faas.StartJob {
			continue
		}
		if s.stays(r, now, left[r.Hello.Ref()]) {
			left[r.Hello.Ref()]++
		} else {
			s.drain(ctx, r.Hello.Runner)
		}
	}
	s.forget(runners)
}

// stays reports whether a runner is still of use, or may be; others counts those
// of its revision that are.
func (s *scaler) stays(r *hub.Status, now time.Time, others int) bool {
	if r.Busy > 0 || r.Free == 0 { // it works, or has not parked yet
		s.markBusy(r.Hello.Runner)
		return true
	}
	idle := now.Sub(s.idleSince(r.Hello.Runner, now))
	rev, least := s.wanted(r.Hello.Ref())
	switch {
	case rev == nil:
		return idle < strayFor
	case r.Hello.Start == faas.StartStandby:
		return true
	}
	return idle < rev.Spec.Warm.Idle.Std() || others < least
}

// retire ends the runners of a revision that nobody calls.
func (s *scaler) retire(ctx context.Context, ref faas.RevisionRef) {
	s.mu.Lock()
	delete(s.failing, ref)
	s.mu.Unlock()
	s.d.Launcher.Retire(ref) // first: one that dials in meanwhile is drained below, or stopped all the same
	for _, r := range s.d.hub.Runners() {
		if r.Hello.Ref() == ref && r.Hello.Start != faas.StartJob && !r.Draining {
			s.drain(ctx, r.Hello.Runner)
		}
	}
}

func (s *scaler) drain(ctx context.Context, id faas.RunnerID) {
	if err := s.d.hub.Drain(ctx, id); err != nil {
		s.d.Logger.Debug("drain a runner", "runner", id, "error", err)
	}
}

// forget lets go of what is known of runners that are gone.
func (s *scaler) forget(runners []hub.Status) {
	there := make(map[faas.RunnerID]bool, len(runners))
	for i := range runners {
		there[runners[i].Hello.Runner] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.idle, func(id faas.RunnerID, _ time.Time) bool { return !there[id] })
	now := s.d.Now()
	maps.DeleteFunc(s.ended, func(_ faas.RunnerID, told time.Time) bool { return now.Sub(told) > toldFor })
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
