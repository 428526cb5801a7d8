package recovery

import (
	"context"

	"davit/internal/faas"
)

// drainOrphans drains the runners of jobs that were idle in the scan before and still are, and whose invocation is
// over: it ran on another runner, or not at all, and the gateway that launched the runner left it. It returns the
// runners of jobs that are idle now.
func (r *Recoverer) drainOrphans(ctx context.Context, before map[faas.RunnerID]bool) (idle map[faas.RunnerID]bool) {
	idle = make(map[faas.RunnerID]bool)
	runners := r.o.Hub.Runners()
	for i := range runners {
		one := &runners[i]
		id, runner := one.Hello.Invocation, one.Hello.Runner
		if one.Hello.Start != faas.StartJob || one.Working() || one.Draining || len(one.Owned) > 0 {
			continue
		}
		idle[runner] = true
		if !before[runner] || r.o.Calls.Leads(id) || !r.isOver(ctx, id) {
			continue
		}
		r.o.Log.Info("draining an orphaned job runner: its invocation is over", "runner", runner, "invocation", id)
		if err := r.o.Hub.Drain(ctx, runner); err != nil {
			r.o.Log.Debug("draining an orphaned job runner failed", "runner", runner, "error", err)
		}
	}
	return idle
}

// isOver reports whether an invocation is final, or was removed.
func (r *Recoverer) isOver(ctx context.Context, id faas.InvocationID) bool {
	record, err := r.o.Records.FindInvocation(ctx, id)
	if err != nil {
		return faas.KindOf(err) == faas.NotFound
	}
	return record.State.Final()
}
