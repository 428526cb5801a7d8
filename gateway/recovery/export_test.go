package recovery

import (
	"context"
	"time"

	"davit/internal/faas"
)

// SettleSlack is in what time the gateway that leads a call settles it itself.
const SettleSlack = settleSlack

// AdoptRemotes takes over what no live gateway leads.
func (r *Recoverer) AdoptRemotes(ctx context.Context, live []faas.GatewayID) {
	r.adoptRemotes(ctx, live)
}

// DrainOrphans drains the runners of jobs whose invocation is over.
func (r *Recoverer) DrainOrphans(ctx context.Context, before map[faas.RunnerID]bool) map[faas.RunnerID]bool {
	return r.drainOrphans(ctx, before)
}

// SweepUploads aborts abandoned uploads.
func (r *Recoverer) SweepUploads(ctx context.Context) { r.sweepUploads(ctx) }

// Age makes every report of a remote invocation that much older.
func (r *Recoverer) Age(by time.Duration) {
	r.remotes.mu.Lock()
	defer r.remotes.mu.Unlock()
	for _, known := range r.remotes.byID {
		known.since = known.since.Add(-by)
	}
}

// IsKnown reports whether an invocation of another gateway is remembered.
func (r *Recoverer) IsKnown(id faas.InvocationID) bool { return r.remotes.find(id) != nil }
