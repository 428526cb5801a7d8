package dispatch

import (
	"context"

	"davit/internal/faas"
)

// endLeftOver drains the runners of jobs that were idle before and are still, and
// whose invocation is over: it ran on another runner, or not at all, and the
// gateway that had them launched left it to another one. It returns those that are idle now.
func (d *Dispatcher) endLeftOver(ctx context.Context, before map[faas.RunnerID]bool) (idle map[faas.RunnerID]bool) {
	idle = make(map[faas.RunnerID]bool)
	runners := d.hub.Runners()
	for i := range runners {
		r := &runners[i]
		id := r.Hello.Invocation
		if r.Hello.Start != faas.StartJob || isWorking(r) || r.Draining || len(r.Held) > 0 {
			continue
		}
		idle[r.Hello.Runner] = true
		if !before[r.Hello.Runner] || d.Leads(id) || !d.isOver(ctx, id) {
			continue
		}
		d.Logger.Info("a job's runner goes whose invocation is over", "runner", r.Hello.Runner, "invocation", id)
		d.scaler.drain(ctx, r.Hello.Runner)
	}
	return idle
}

// isOver reports whether an invocation is final, or was forgotten.
func (d *Dispatcher) isOver(ctx context.Context, id faas.InvocationID) bool {
	record, err := d.Records.FindInvocation(ctx, id)
	if err != nil {
		return faas.KindOf(err) == faas.NotFound
	}
	return record.State.Final()
}
