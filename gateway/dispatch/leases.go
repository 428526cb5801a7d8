package dispatch

import (
	"context"
	"log/slog"
	"time"

	"davit/internal/every"
	"davit/internal/faas"
)

// leases renews the leases of the accepted invocations that this gateway leads, and the permits of its jobs.
type leases struct {
	gateway faas.GatewayID
	store   Leases
	calls   *calls
	permits *permits
	settler *settler
	lease   time.Duration
	log     *slog.Logger
	now     func() time.Time
}

// Run renews until ctx ends, and then releases the leases, so that another gateway takes over at once.
func (l *leases) Run(ctx context.Context) error {
	every.Interval(ctx, l.lease/4, func(ctx context.Context) {
		l.renew(ctx)
		l.permits.renew(ctx)
	})
	l.release(context.WithoutCancel(ctx))
	return nil
}

func (l *leases) renew(ctx context.Context) {
	ids := l.calls.accepted()
	if len(ids) == 0 {
		return
	}
	lost, err := l.store.Renew(ctx, l.gateway, ids, l.now().Add(l.lease))
	if err != nil {
		l.log.Warn("renewing the leases of accepted invocations failed", "error", err)
	}
	for _, id := range lost {
		if c := l.calls.find(id); c != nil && !c.isFinal() {
			l.settler.yield(c)
		}
	}
}

func (l *leases) release(ctx context.Context) {
	ids := l.calls.accepted()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := l.store.ReleaseLeases(ctx, l.gateway, ids); err != nil {
		l.log.Warn("releasing the leases of accepted invocations failed; they end by themselves", "error", err)
	}
}
