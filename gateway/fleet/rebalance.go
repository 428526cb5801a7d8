package fleet

import (
	"context"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// rebalance publishes how many runners each function keeps. When the installation's limit is reached, it drains one
// runner of the function that has most, if another function has none or far fewer.
func (f *Fleet) rebalance(ctx context.Context) {
	if f.o.Max == 0 {
		return
	}
	runners := f.o.Runners.Runners()
	room, shares, err := f.o.Capacity.SetKept(ctx, f.kept(runners), f.o.Max)
	if err != nil || room > 0 {
		return
	}
	needy, waits := neediest(shares)
	if !waits {
		return
	}
	if r := donor(runners, shares, needy); r != nil {
		f.o.Log.Info("draining a runner: the limit is reached and another function waits", "runner", r.Hello.Runner, "function", r.Hello.Function, "waiting", needy.Function)
		f.drain(ctx, r.Hello.Runner)
	}
}

// kept counts the kept runners of every function.
func (f *Fleet) kept(runners []hub.Status) map[faas.FunctionName]int {
	refs := make(map[faas.RevisionRef]bool)
	for _, rev := range f.o.Catalog.LiveRevisions() {
		if rev.Spec.LooseMode() != faas.ModeJob {
			refs[rev.Ref()] = true
		}
	}
	for _, ref := range f.demands.refs() {
		refs[ref] = true
	}
	for i := range runners {
		refs[runners[i].Hello.Ref()] = true
	}
	kept := make(map[faas.FunctionName]int)
	for ref := range refs {
		for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
			own, elsewhere := f.count(group{ref, start})
			kept[ref.Function] += own + elsewhere
		}
	}
	return kept
}

// neediest returns the function with the fewest runners among the functions that wait for one.
func neediest(shares []faas.Share) (needy faas.Share, waits bool) {
	for _, s := range shares {
		if s.Refused && (!waits || s.Runners < needy.Runners) {
			needy, waits = s, true
		}
	}
	return needy, waits
}

// donor returns the runner to drain for the needy function: of the function that has most, an idle runner before a
// working one. It is nil if no runner can go, or one is draining already.
func donor(runners []hub.Status, shares []faas.Share, needy faas.Share) *hub.Status {
	has := make(map[faas.FunctionName]int)
	for _, share := range shares {
		has[share.Function] = share.Runners
	}
	var best *hub.Status
	for i := range runners {
		r := &runners[i]
		if r.Hello.Start == faas.StartWarm && r.Draining {
			return nil
		}
		if !canGive(r, has[r.Hello.Function], needy) {
			continue
		}
		if best == nil || best.Working() && !r.Working() ||
			best.Working() == r.Working() && has[r.Hello.Function] > has[best.Hello.Function] {
			best = r
		}
	}
	return best
}

// canGive reports whether a function with so many runners may lose r to the needy one. A working runner goes only if it
// is warm, and only if the needy function has none or the giving one has at least two more.
func canGive(r *hub.Status, has int, needy faas.Share) bool {
	if r.Hello.Start == faas.StartJob || r.Draining || r.Hello.Function == needy.Function || has <= needy.Runners {
		return false
	}
	if !r.Working() {
		return true
	}
	return r.Hello.Start != faas.StartStandby && (needy.Runners == 0 || has >= needy.Runners+2)
}
