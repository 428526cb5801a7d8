package fleet

import (
	"context"

	"davit/internal/faas"
)

// scaleRevision starts the runners that a revision lacks.
func (f *Fleet) scaleRevision(ctx context.Context, rev *faas.Revision) {
	ref := rev.Ref()
	if f.backoffs.isDelayed(ref, f.o.Now()) || f.stopping.Load() {
		return
	}
	counts, all := f.o.Runners.Slots(ref), f.demands.of(ref)
	if rev.Spec.Mode == faas.ModeWarm {
		have := counts[faas.StartWarm]
		f.scale(ctx, group{ref, faas.StartWarm}, rev, max(warmTarget(rev.Spec.Warm, have.Busy+all.waiting), min(all.pins, 1)))
		if all.pins > 0 {
			return // the registration waits for the warm runner
		}
	}
	if keep := rev.Spec.Standby; keep != nil && keep.Max > 0 {
		have := counts[faas.StartStandby]
		used := min(have.Busy, rev.Spec.MaxConcurrency) // runners that still upload are busy, too
		if all.pins > 0 {
			used = 0 // the first runner is busy while the registration claims it
		}
		f.scale(ctx, group{ref, faas.StartStandby}, rev, f.depth(rev)+used-all.jobs)
	}
}

// warmTarget is how many warm runners a number of calls, running and queued, needs.
func warmTarget(w *faas.Warm, calls int) int {
	per := max(w.Concurrency, 1)
	return min(max((calls+per-1)/per, w.Min), w.Max)
}

// scale starts runners until target of them exist, whichever gateway started them.
func (f *Fleet) scale(ctx context.Context, of group, rev *faas.Revision, target int) {
	own, elsewhere := f.count(of)
	missing := f.granted(ctx, of.ref, target-elsewhere-own)
	if missing <= 0 {
		return
	}
	f.depths.started(of, missing)
	err := f.o.Launcher.Scale(ctx, rev, of.start, own+missing)
	if err == nil || ctx.Err() != nil {
		return
	}
	for range missing {
		f.depths.failed(of)
	}
	f.o.Log.Warn("starting runners failed", "function", rev.Function, "revision", rev.Number, "start", of.start, "error", err)
	f.firsts.notLaunched(of.ref, err)
	f.exits.notLaunched(of, err) //nolint:contextcheck // it is published in the background
	f.backoffs.failed(of.ref, f.o.Now())
	f.queue.touch(of.ref, false)
}

// count returns how many runners of a group this gateway's launcher has, and how many other launchers have.
func (f *Fleet) count(of group) (own, elsewhere int) {
	for _, runner := range f.o.Runners.Connected(of.ref, of.start) {
		if !f.o.Launcher.Counts(runner) {
			elsewhere++
		}
	}
	return f.o.Launcher.Running(of.ref, of.start), elsewhere
}

// granted returns how many of the missing runners of a function may be started.
func (f *Fleet) granted(ctx context.Context, ref faas.RevisionRef, missing int) int {
	if f.o.Max == 0 || missing <= 0 {
		return missing
	}
	n, err := f.o.Capacity.GrantKept(ctx, ref.Function, missing, f.o.Max)
	if err != nil {
		f.o.Log.Debug("asking for capacity for runners failed; retrying", "function", ref.Function, "error", err)
		return 0
	}
	f.queue.setStarved(ref, n < missing)
	return n
}
