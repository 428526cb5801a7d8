package recovery

import (
	"context"

	"davit/internal/faas"
)

// Two gateways may both lead an invocation for a while: one that seemed dead was only slow. Redis decides which of them
// ends it; the other one hands it over then.

// EndedElsewhere leaves an invocation that is led here to the gateway that published its end, in the background.
func (r *Recoverer) EndedElsewhere(id faas.InvocationID) {
	if r.o.Handover.IsOpen(id) {
		r.work.Go(func() { r.handOver(r.base, id) })
	}
}

// handOver leaves an invocation to the gateway that ended it, if one did.
func (r *Recoverer) handOver(ctx context.Context, id faas.InvocationID) {
	record, err := r.o.Records.FindInvocation(ctx, id)
	if err != nil || !record.State.Final() || !r.o.Handover.HandOver(record) {
		return
	}
	r.o.Log.Info("another gateway ended an invocation that is led here", "invocation", id, "state", record.State)
}

// handOverAdopted does so for adopted invocations whose end was published while this gateway received no messages.
func (r *Recoverer) handOverAdopted(ctx context.Context) {
	for _, id := range r.o.Handover.Adopted() {
		r.handOver(ctx, id)
	}
}
