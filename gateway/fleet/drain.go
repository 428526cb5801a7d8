package fleet

import (
	"context"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// drainIdle drains the runners that are no longer of use, and those that are too many: when the lead changes, two
// gateways may have started the same.
func (f *Fleet) drainIdle(ctx context.Context) {
	now := f.o.Now()
	kept := make(map[group]int)
	runners := f.o.Runners.Runners()
	for _, working := range []bool{true, false} { // working runners are kept first
		for i := range runners {
			r := &runners[i]
			of := group{r.Hello.Ref(), r.Hello.Start}
			if r.Draining || of.start == faas.StartJob || r.Working() != working {
				continue
			}
			if f.stays(r, now, kept[of]) {
				kept[of]++
			} else {
				f.drain(ctx, r.Hello.Runner)
			}
		}
	}
	connected := make(map[faas.RunnerID]bool, len(runners))
	for i := range runners {
		connected[runners[i].Hello.Runner] = true
	}
	f.presence.tidy(now, connected)
}

// stays reports whether a runner is still of use, or may be soon. kept counts the runners of its group that are.
func (f *Fleet) stays(r *hub.Status, now time.Time, kept int) bool {
	rev, least := f.wanted(r.Hello.Ref())
	warm := r.Hello.Start == faas.StartWarm
	if r.Working() {
		f.presence.markBusy(r.Hello.Runner)
		return rev == nil || !warm || rev.Spec.Warm == nil || kept < rev.Spec.Warm.Max
	}
	idle := now.Sub(f.presence.idleSince(r.Hello.Runner, now))
	switch {
	case rev == nil:
		return idle < spareFor
	case warm:
		return kept < least || kept < rev.Spec.Warm.Max && idle < rev.Spec.Warm.Idle.Std()
	}
	return kept < f.depth(rev) || idle < spareFor
}

// retire ends the runners of a revision that nobody calls.
func (f *Fleet) retire(ctx context.Context, ref faas.RevisionRef) {
	f.backoffs.reset(ref)
	f.o.Launcher.Retire(ref) // first: a runner that connects meanwhile is drained below, or ended all the same
	for _, r := range f.o.Runners.Runners() {
		if r.Hello.Ref() == ref && r.Hello.Start != faas.StartJob && !r.Draining {
			f.drain(ctx, r.Hello.Runner)
		}
	}
}

func (f *Fleet) drain(ctx context.Context, runner faas.RunnerID) {
	if err := f.o.Drainer.Drain(ctx, runner); err != nil {
		f.o.Log.Debug("draining a runner failed", "runner", runner, "error", err)
	}
}
