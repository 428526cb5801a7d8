package recovery

import (
	"context"
	"slices"
	"time"

	"davit/internal/faas"
)

const (
	settleSlack = 3 * time.Second // in which the gateway that leads a call settles it itself
	takeAtOnce  = 100             // expired leases in one tick
	scanPage    = 500
)

// adoptRemotes takes over the invocations that runners connected here own and that no live gateway leads.
func (r *Recoverer) adoptRemotes(ctx context.Context, live []faas.GatewayID) {
	for id, known := range r.remotes.quiet(settleSlack) {
		switch _, owned := r.o.Hub.Owner(id); {
		case !owned && known.outcome != nil:
			r.remotes.forget(id) // it was settled, and its runner has forgotten it
		case r.ledElsewhere(known.record, live):
		case r.o.Calls.Leads(id): // its runner reported it while it was adopted
			r.settleReported(id, r.remotes.take(id))
		default:
			r.adoptRemote(ctx, id, known, live)
		}
	}
}

// ledElsewhere reports whether another live gateway leads the invocation, or is just giving it to its runner: a
// runner's first report has no more than the id.
func (r *Recoverer) ledElsewhere(record *faas.Invocation, live []faas.GatewayID) bool {
	return record.Inner == nil || slices.Contains(live, record.Inner.Gateway) && record.Inner.Gateway != r.o.Gateway
}

func (r *Recoverer) adoptRemote(ctx context.Context, id faas.InvocationID, known *remote, live []faas.GatewayID) {
	record, err := r.o.Records.FindInvocation(ctx, id)
	switch {
	case faas.KindOf(err) == faas.NotFound:
		record = known.record
	case err != nil:
		return
	case record.State.Final():
		r.remotes.forget(id)
		if known.outcome != nil {
			_ = r.o.Hub.AckAll(ctx, []faas.InvocationID{id}) // a runner that misses it reports the invocation again
		}
		return
	case record.Inner != nil && record.Inner.Accepted:
		return // its lease says when it may be taken over
	case r.ledElsewhere(record, live):
		return
	}
	r.adopt(ctx, record, known.runner, known)
	r.o.Log.Info("took over an invocation that its runner reported", "invocation", id, "runner", known.runner)
}

// adopt makes this gateway lead an invocation, on a runner if there is one, and settles what that runner has reported:
// known, or what it reported while the record was read.
func (r *Recoverer) adopt(ctx context.Context, record *faas.Invocation, runner faas.RunnerID, known *remote) (isCommitted bool) {
	isCommitted = r.o.Calls.Adopt(ctx, record, runner)
	if newer := r.remotes.take(record.ID); newer != nil {
		known = newer
	}
	if !isCommitted {
		return false
	}
	r.settleReported(record.ID, known)
	if _, owned := r.o.Hub.Owner(record.ID); !owned {
		r.o.Losses.Miss(record.ID)
	}
	return true
}

// settleReported does what the runner's events would have done.
func (r *Recoverer) settleReported(id faas.InvocationID, known *remote) {
	if known != nil && known.outcome != nil {
		r.o.Calls.Settle(id, known.outcome, known.uploaded)
	}
}

// takeExpired takes over accepted invocations whose lease has ended.
func (r *Recoverer) takeExpired(ctx context.Context) {
	now := r.o.Now()
	taken, err := r.o.Records.TakeExpired(ctx, r.o.Gateway, now, now.Add(r.o.Lease), takeAtOnce)
	if err != nil {
		return
	}
	for _, record := range taken {
		if !r.o.Calls.Leads(record.ID) {
			r.takeOver(ctx, record)
		}
	}
}

func (r *Recoverer) takeOver(ctx context.Context, record *faas.Invocation) {
	var runner faas.RunnerID
	cancelled := false
	if record.Inner != nil {
		runner, cancelled = record.Inner.Runner, record.Inner.Cancelled
	}
	known := r.remotes.find(record.ID)
	if known != nil {
		runner = known.runner
	}
	isCommitted := r.adopt(ctx, record, runner, known)
	r.o.Log.Info("took over an invocation", "invocation", record.ID, "state", record.State, "runner", runner)
	if cancelled && !isCommitted {
		r.o.Losses.Lose(record.ID, faas.ReasonCancelled, "cancelled before it ran")
		return
	}
	r.o.Calls.Resume(record.ID)
}

// adoptAbandoned takes over calls of gateways that died, if they were never accepted and their runner is not connected.
func (r *Recoverer) adoptAbandoned(ctx context.Context, live []faas.GatewayID) {
	for _, state := range []faas.State{faas.Queued, faas.Starting, faas.Running} {
		cursor := ""
		for {
			items, next, err := r.o.Records.ListInvocations(ctx, faas.InvocationFilter{State: state, Limit: scanPage, Cursor: cursor})
			if err != nil {
				return
			}
			for _, record := range items {
				r.adoptAlone(ctx, record, live)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
	}
}

func (r *Recoverer) adoptAlone(ctx context.Context, record *faas.Invocation, live []faas.GatewayID) {
	in := record.Inner
	if in == nil || in.Accepted || r.o.Calls.Leads(record.ID) || slices.Contains(live, in.Gateway) {
		return
	}
	if _, owned := r.o.Hub.Owner(record.ID); owned {
		return
	}
	if !r.adopt(ctx, record, in.Runner, nil) {
		r.o.Losses.Lose(record.ID, faas.ReasonRunnerLost, "the gateway of the caller stopped before the command started; nothing ran")
	}
}
