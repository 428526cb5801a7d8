package register

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/internal/faas"
	"davit/internal/signal"
)

const (
	defaultBuilds       = 2
	defaultBuildTimeout = 15 * time.Minute
	defaultMaxSource    = 100 * faas.MiB
)

var errStopped = errors.New("the gateway is shutting down")

// New returns a Service; Run must run beside it.
func New(o Options) *Service {
	if o.Builds <= 0 {
		o.Builds = defaultBuilds
	}
	if o.BuildTimeout <= 0 {
		o.BuildTimeout = defaultBuildTimeout
	}
	if o.Limits.PackedBytes <= 0 {
		o.Limits.PackedBytes = int64(defaultMaxSource)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{
		o: o, copies: copies{o.Objects, o.Forget}, places: make(chan struct{}, o.Builds), soon: signal.NewWake(),
		builds: map[faas.RevisionRef]*build{}, tails: map[faas.FunctionName]*build{},
	}
	s.base, s.stop = context.WithCancelCause(context.Background())
	return s
}

// Run builds what is registered and repairs, until ctx ends: what a killed
// gateway left half done, and a registry that loses everything while the gateway
// runs. A build that the end of ctx interrupts is done again by another gateway.
func (s *Service) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.runRepair(gctx); return nil })
	<-gctx.Done()
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.stop(errStopped)
	s.work.Wait()
	return g.Wait()
}
