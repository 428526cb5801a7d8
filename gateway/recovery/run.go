package recovery

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/internal/every"
	"davit/internal/faas"
)

const (
	tickEvery = time.Second
	scanEvery = 15 * time.Second
)

// New returns a Recoverer; Run must run beside it.
func New(o Options) *Recoverer {
	r := &Recoverer{o: o, remotes: newRemotes(o.Now)}
	r.base, r.stop = context.WithCancel(context.Background())
	return r
}

// Run recovers until ctx ends. It returns when everything that it started has ended.
func (r *Recoverer) Run(ctx context.Context) error {
	defer r.work.Wait()
	defer r.stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.runRecovery(ctx) })
	g.Go(func() error { return r.runUploads(ctx) })
	return g.Wait()
}

// runRecovery takes over what gateways that died have led, and settles what runners left that stay away.
func (r *Recoverer) runRecovery(ctx context.Context) error {
	var scanned time.Time
	var idle map[faas.RunnerID]bool // runners of jobs, in the last scan
	every.Interval(ctx, tickEvery, func(ctx context.Context) {
		r.resolveSilent()
		r.retakeUnowned()
		live, err := r.o.Records.LiveGatewayIDs(ctx)
		if err != nil {
			return
		}
		r.adoptRemotes(ctx, live)
		r.takeExpired(ctx)
		if now := r.o.Now(); now.Sub(scanned) > scanEvery {
			scanned = now
			r.handOverAdopted(ctx)
			r.adoptAbandoned(ctx, live)
			idle = r.drainOrphans(ctx, idle)
		}
	})
	return nil
}

// runUploads sweeps apart from runRecovery, because a store may be slow and a gateway that died must not wait for it.
func (r *Recoverer) runUploads(ctx context.Context) error {
	every.NowAndInterval(ctx, uploadsEvery, r.sweepUploads)
	return nil
}
