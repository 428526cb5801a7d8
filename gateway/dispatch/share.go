package dispatch

import (
	"context"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// count returns how many kept runners of a revision this gateway's launcher has,
// and how many others have.
func (s *scaler) count(ref faas.RevisionRef, start faas.Start) (own, elsewhere int) {
	for _, runner := range s.d.hub.Connected(ref, start) {
		if !s.d.Launcher.Counts(runner) {
			elsewhere++
		}
	}
	return s.d.Launcher.Running(ref, start), elsewhere
}

// granted is how many of the missing runners of a function may be started.
func (s *scaler) granted(ctx context.Context, ref faas.RevisionRef, missing int) int {
	all := s.d.Limits.Runners
	if all == 0 || missing <= 0 {
		return missing
	}
	n, err := s.d.Places.GrantKept(ctx, ref.Function, missing, all)
	if err != nil {
		s.d.Logger.Debug("ask for room for runners; trying again", "function", ref.Function, "error", err)
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < missing {
		s.starved[ref] = true
	} else {
		delete(s.starved, ref)
	}
	return n
}

// roomHeard has those looked at again that found no room.
func (s *scaler) roomHeard() {
	s.mu.Lock()
	some := len(s.starved) > 0
	for ref := range s.starved {
		leaves := s.touched[ref]
		s.touched[ref] = leaves
	}
	clear(s.starved)
	s.mu.Unlock()
	if some {
		s.wake()
	}
}

// shareOut tells how many runners are kept, and where there is no room for more,
// has a function that has many give one up for one that waits for its first, or has far fewer.
func (s *scaler) shareOut(ctx context.Context) {
	all := s.d.Limits.Runners
	if all == 0 {
		return
	}
	runners := s.d.hub.Runners()
	room, shares, err := s.d.Places.SetKept(ctx, s.kept(runners), all)
	if err != nil || room > 0 {
		return
	}
	poor, waits := poorest(shares)
	if !waits {
		return
	}
	if r := s.richest(runners, shares, poor); r != nil {
		s.d.Logger.Info("a runner goes, for all of them are in use and another function waits", "runner", r.Hello.Runner, "function", r.Hello.Function, "waits", poor.Function)
		s.drain(ctx, r.Hello.Runner)
	}
}

// kept counts the kept runners of every function.
func (s *scaler) kept(runners []hub.Status) map[faas.FunctionName]int {
	refs := make(map[faas.RevisionRef]bool)
	for _, rev := range s.d.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() != faas.ModeJob {
			refs[rev.Ref()] = true
		}
	}
	for _, ref := range s.refs() {
		refs[ref] = true
	}
	for i := range runners {
		refs[runners[i].Hello.Ref()] = true
	}
	kept := make(map[faas.FunctionName]int)
	for ref := range refs {
		for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
			own, elsewhere := s.count(ref, start)
			kept[ref.Function] += own + elsewhere
		}
	}
	return kept
}

// poorest returns the function with the fewest runners of those that wait for one.
func poorest(shares []faas.Share) (poor faas.Share, waits bool) {
	for _, s := range shares {
		if s.Wishes && (!waits || s.Runners < poor.Runners) {
			poor, waits = s, true
		}
	}
	return poor, waits
}

// richest returns a runner that is to be given up for the poor, an idle one before
// one that works; nil: none is, or one is on its way out.
func (s *scaler) richest(runners []hub.Status, shares []faas.Share, poor faas.Share) *hub.Status {
	has := make(map[faas.FunctionName]int)
	for _, share := range shares {
		has[share.Function] = share.Runners
	}
	var best *hub.Status
	for i := range runners {
		r := &runners[i]
		fn := r.Hello.Function
		switch {
		case r.Hello.Start == faas.StartJob:
		case r.Draining && r.Hello.Start == faas.StartWarm:
			return nil
		case r.Draining, fn == poor.Function, has[fn] <= poor.Runners:
		case isWorking(r) && (r.Hello.Start == faas.StartStandby || has[fn] < poor.Runners+2 && poor.Runners > 0):
		case best == nil, isWorking(best) && !isWorking(r), isWorking(best) == isWorking(r) && has[fn] > has[best.Hello.Function]:
			best = r
		}
	}
	return best
}
