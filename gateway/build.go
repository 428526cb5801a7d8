package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"davit/gateway/api"
	"davit/gateway/dispatch"
	"davit/gateway/fleet"
	"davit/gateway/hub"
	"davit/gateway/meter"
	"davit/gateway/observer"
	"davit/gateway/records"
	"davit/gateway/recovery"
	"davit/gateway/register"
	"davit/internal/blob"
	"davit/internal/task"
	"davit/internal/version"
)

// gateway is what a started server shows of itself.
type gateway struct {
	net     *listeners
	token   token
	console *api.ConsoleServer
}

// build makes the parts, each from the parts before it, and starts them. Whatever it started is in life, also on an
// error.
func build(ctx context.Context, cfg *Config, log *slog.Logger, life *life) (*gateway, error) {
	g, err := openGround(ctx, cfg, log, life)
	if err != nil {
		return nil, err
	}
	p, err := makeParts(cfg, g, log, life)
	if err != nil {
		return nil, err
	}
	edge := &edgeParts{cfg: cfg, ground: g, parts: p, log: log}
	console, triggers := edge.newConsole(), edge.newTriggers() //nolint:contextcheck // each request has a context of its own
	if err := p.registry.Restore(ctx); err != nil {
		return nil, fmt.Errorf("load the registrations: %w", err)
	}
	if err := p.catalog.Load(ctx); err != nil {
		return nil, fmt.Errorf("load the registrations: %w", err)
	}
	p.start(g, log, life)
	life.start("downloads", serveHTTP(g.net.downloads, g.objects.public, 0))
	life.start("console", serveEdge(console.Server, g.net.console))
	life.start("triggers", serveEdge(triggers, g.net.calls))
	life.onStop("drain", func() {
		p.fleet.Stop()
		p.calls.Drain(context.Background())
	})
	return &gateway{net: g.net, token: g.files.token, console: console}, nil
}

// makeParts makes the parts from the ground up. A part that reports to another one gets it when it runs.
func makeParts(cfg *Config, g *ground, log *slog.Logger, life *life) (p *parts, err error) {
	store, now := g.store, time.Now
	p = &parts{meter: meter.New(version.String(), runtime.Version())}
	p.catalog = register.NewCatalog(register.CatalogOptions{Revisions: store, Functions: store, Triggers: store, Versions: store, Log: log})
	p.hub = hub.New(hub.Options{
		Gateway: g.id, Verify: runnerTokens{g.secret}.verify, Peers: func() []string { return []string{g.net.runnerAddr()} }, Log: log,
	})
	p.peers = &peers{id: g.id, own: g.net.runnerAddr(), store: store, hub: p.hub}
	rp := &runnerParts{ground: g, catalog: p.catalog, peers: p.peers, log: log}
	if p.runners, err = newRunners(cfg, rp, life); err != nil {
		return nil, fmt.Errorf("set up runners: %w", err)
	}
	p.fleet = fleet.New(fleet.Options{
		Gateway: g.id, Runners: p.hub, Drainer: p.hub, Claimer: p.hub, Launcher: p.runners.launcher, Ender: p.runners.launcher, Shared: p.runners.shared,
		Catalog: p.catalog, Capacity: store, Leader: store, Meter: p.meter, Max: cfg.MaxRunners, Grace: cfg.RunnerGrace, Log: log, Now: now,
	})
	p.calls = dispatch.New(dispatch.Options{
		Gateway: g.id, Slots: p.hub, Running: p.hub, Acks: p.hub, Launcher: p.runners.launcher, Fleet: p.fleet, Catalog: p.catalog,
		Records: store, Queue: store, Leases: store, Permits: store, Publisher: store, Objects: g.objects.store, Signer: g.objects.signer,
		Meter: p.meter, CallMeter: p.meter, Limits: callLimits(cfg), Log: log, Now: now,
	})
	uploads, _ := g.objects.signer.(blob.UploadSweeper) // nil: the store takes no multipart uploads
	p.recovery = recovery.New(recovery.Options{
		Gateway: g.id, Calls: p.calls, Losses: p.calls, Retakes: p.calls, Handover: p.calls, Hub: p.hub, Records: store, Launcher: p.runners.launcher,
		Uploads: uploads, Grace: cfg.RunnerGrace, Lease: cfg.Lease, Log: log, Now: now,
	})
	p.records = records.New(records.Options{
		Calls: p.calls, Remote: p.recovery, Archive: store, Logs: p.hub, Objects: g.objects.store, Signer: g.objects.signer,
		StoreError: p.meter.StoreError, Grace: cfg.RunnerGrace, Log: log, Now: now,
	})
	p.registry = register.New(register.Options{
		Gateway: g.id, Revisions: store, Functions: store, Triggers: store, Versions: store, Objects: g.objects.store, Builder: p.runners.builder,
		Readier: p.fleet, Catalog: p.catalog, Gateways: store, Capabilities: cfg.capabilities(), Secrets: p.runners.secrets, Forget: p.runners.forget,
		Defaults: cfg.defaults(), Builds: cfg.Builds, BuildTimeout: cfg.BuildTimeout, Limits: archiveLimits(cfg), SpoolDir: g.files.runDir,
		Log: log, Now: now,
	})
	p.observer = &observer.Observer{
		Launcher: p.runners.launcher, Fleet: p.fleet, Exits: p.fleet, Calls: p.calls, Recovery: p.recovery, Runners: p.hub, Log: log,
	}
	p.wanted = wanted{rp, p.hub, p.fleet, p.calls}
	p.meter.Observe(slotTotals(p.hub, p.fleet), p.fleet.Leads, map[string]func() int{"redis": store.Connections, "objects": g.objects.connections})
	return p, nil
}

// start starts the parts. They stop in the reverse order: the runners first, and the hub after what their ends settle.
func (p *parts) start(g *ground, log *slog.Logger, life *life) {
	life.start("hub", func(ctx context.Context) error { return p.hub.Run(ctx, p.observer) })
	life.start("runner listener", serveHTTP(g.net.runners, runnerHandler(p.hub, p.records, g.objects), 0))
	life.start("registrations", p.registry.Run)
	life.onStop("presence", func() { p.peers.leave(log) })
	life.start("catalog", func(ctx context.Context) error { return p.catalog.Run(ctx, p.peers.beat) })
	life.start("fleet", p.fleet.Run)
	life.start("calls", p.calls.Run)
	life.start("records", p.records.Run)
	life.start("recovery", p.recovery.Run)
	published := &messages{
		store: g.store, peers: p.peers, catalog: p.catalog, fleet: p.fleet, calls: p.calls, recovery: p.recovery, observer: p.observer, log: log,
	}
	life.start("messages", published.run)
	life.start("launcher", func(ctx context.Context) error { return p.runners.run(ctx, p.observer.Exited, p.wanted) })
}

func callLimits(cfg *Config) dispatch.Limits {
	return dispatch.Limits{
		MaxLog: cfg.MaxLog, MaxResult: cfg.MaxResult,
		Runners: cfg.MaxRunners, Grace: cfg.RunnerGrace, Lease: cfg.Lease, Drain: cfg.Drain,
	}
}

// slotTotals counts the slots of all runners of this gateway.
func slotTotals(h *hub.Hub, f *fleet.Fleet) func() meter.Slots {
	return func() meter.Slots {
		s := meter.Slots{Starting: f.Starting()}
		for _, r := range h.Runners() {
			s.Free += r.Free
			s.Busy += r.Busy
		}
		return s
	}
}

// runnerHandler is what runners reach: the hub, the URLs of multipart uploads, and the folder store's signed URLs.
func runnerHandler(h *hub.Hub, parter hub.Parter, objects *objects) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h.Handler())
	mux.Handle(task.PathParts, h.MultipartHandler(parter))
	if objects.runners != nil {
		mux.Handle(task.PathStore, http.StripPrefix(strings.TrimSuffix(task.PathStore, "/"), objects.runners))
	}
	return mux
}
