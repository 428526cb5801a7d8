package dispatch

import (
	"context"
	"maps"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// group is the runners of one revision and start.
type group struct {
	ref   faas.RevisionRef
	start faas.Start
}

// shrink drains the runners that are of no use any more, and those that are too
// many: when the lead changes, two gateways may have started the same.
func (s *scaler) shrink(ctx context.Context) {
	now := s.d.Now()
	left := make(map[group]int)
	runners := s.d.hub.Runners()
	for _, working := range []bool{true, false} { // those that work stay first
		for i := range runners {
			r := &runners[i]
			of := group{r.Hello.Ref(), r.Hello.Start}
			if r.Draining || of.start == faas.StartJob || isWorking(r) != working {
				continue
			}
			if s.stays(r, now, left[of]) {
				left[of]++
			} else {
				s.drain(ctx, r.Hello.Runner)
			}
		}
	}
	s.forget(runners)
}

// isWorking reports whether a runner has calls, or has not parked yet.
func isWorking(r *hub.Status) bool { return r.Busy > 0 || r.Free == 0 }

// stays reports whether a runner is still of use, or may be; others counts those
// of its group that are.
func (s *scaler) stays(r *hub.Status, now time.Time, others int) bool {
	rev, least := s.wanted(r.Hello.Ref())
	warm := r.Hello.Start == faas.StartWarm
	if isWorking(r) {
		s.markBusy(r.Hello.Runner)
		return rev == nil || !warm || rev.Spec.Warm == nil || others < rev.Spec.Warm.Max
	}
	idle := now.Sub(s.idleSince(r.Hello.Runner, now))
	switch {
	case rev == nil:
		return idle < strayFor
	case warm:
		return others < least || others < rev.Spec.Warm.Max && idle < rev.Spec.Warm.Idle.Std()
	}
	return others < s.depth(rev) || idle < strayFor
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

// tidy lets go of what was long ago.
func (s *scaler) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.d.Now()
	maps.DeleteFunc(s.ended, func(_ faas.RunnerID, told time.Time) bool { return now.Sub(told) > toldFor })
	maps.DeleteFunc(s.fills, func(_ group, f *fill) bool { return now.Sub(f.last) > fillsFor })
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
