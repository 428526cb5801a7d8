package register

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/signal"
)

const (
	defaultBuilds       = 2
	defaultBuildTimeout = 15 * time.Minute
	defaultMaxSource    = 100 * faas.MiB
)

// New returns a Service. It builds and repairs only while Run runs.
func New(o Options) *Service {
	setDefaults(&o)
	objects := objects{store: o.Objects, forget: o.Forget}
	locks := &nameLocks{}
	logs := logStore{objects: o.Objects, revisions: o.Revisions}
	wake := signal.NewWake()
	publisher := &publisher{
		revisions: o.Revisions, functions: o.Functions, versions: o.Versions, catalog: o.Catalog, objects: objects, locks: locks,
		log: o.Log, now: o.Now,
	}
	deletions := &deletions{
		functions: o.Functions, triggers: o.Triggers, objects: objects, locks: locks, repair: wake, log: o.Log, now: o.Now,
	}
	builds := &builds{
		gateway: o.Gateway, builder: o.Builder, readier: o.Readier, gateways: o.Gateways, catalog: o.Catalog, publisher: publisher,
		objects: objects, logs: logs, sources: Sources{o.Objects}, timeout: o.BuildTimeout, log: o.Log, now: o.Now,
		sem: make(chan struct{}, o.Builds), byRef: map[faas.RevisionRef]*build{}, last: map[faas.FunctionName]*build{},
	}
	builds.base, builds.stop = context.WithCancelCause(context.Background())
	return &Service{
		o: o, reader: reader{o.Revisions, o.Functions, o.Triggers}, objects: objects, locks: locks, logs: logs,
		publisher: publisher, deletions: deletions, builds: builds,
		repairer: &repairer{
			revisions: o.Revisions, functions: o.Functions, triggers: o.Triggers, versions: o.Versions, catalog: o.Catalog, objects: objects,
			locks: locks, publisher: publisher, deletions: deletions, builds: builds, wake: wake, log: o.Log, now: o.Now,
		},
	}
}

func setDefaults(o *Options) {
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
}

// Restore fills and opens an empty registry from the object store. It does not change a registry that has contents. It
// must be called before the gateway serves.
func (s *Service) Restore(ctx context.Context) error { return s.repairer.restore(ctx) }

// Run builds registered revisions and repairs registrations until ctx ends, and then returns nil. A repair finishes the
// changes and builds that killed gateways left unfinished, and restores a registry that lost its contents. Another
// gateway repeats a build that the end of ctx interrupts.
func (s *Service) Run(ctx context.Context) error {
	var repairs sync.WaitGroup
	repairs.Go(func() { s.repairer.run(ctx) })
	<-ctx.Done()
	s.builds.stopAll()
	repairs.Wait()
	return nil
}
