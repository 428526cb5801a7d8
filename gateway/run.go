package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"davit/gateway/api"
	"davit/gateway/dispatch"
	"davit/gateway/hub"
	"davit/gateway/meter"
	"davit/gateway/redisstore"
	"davit/gateway/register"
	"davit/gateway/vault"
	"davit/internal/faas"
	"davit/internal/version"
	"davit/web"
)

// run is the whole program: it returns when ctx ends and everything that it
// started is gone. On stdout it says where the gateway listens, once it serves.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("davit-gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	tell := flags.Bool("version", false, "print the version and exit")
	describe := flags.Bool("settings", false, "print the table of settings and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch {
	case *tell:
		_, err := fmt.Fprintln(stdout, version.String())
		return err
	case *describe:
		return describeSettings(stdout)
	}
	cfg, err := loadConfig(environ)
	if err != nil {
		return err
	}
	log := newLog(cfg, stderr)
	log.Info("starting", append([]any{"version", version.String()}, cfg.redacted()...)...)
	l := newLife(log)
	g, err := build(ctx, cfg, log, l)
	if err == nil {
		if err := unmapStart(); err != nil {
			log.Debug("give the start's pages back", "cause", err)
		}
		err = g.announce(stdout)
	}
	if err == nil {
		err = l.wait(ctx)
		log.Info("stopping")
	}
	return errors.Join(err, l.stop())
}

func newLog(cfg *Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked by loadConfig
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// gateway is the running server's parts.
type gateway struct {
	cfg   *Config
	log   *slog.Logger
	life  *life
	id    faas.GatewayID
	token token
	net   *listeners

	records  *redisstore.Store
	objects  *objects
	meter    *meter.Meter
	catalog  *register.Catalog
	register *register.Service
	hub      *hub.Hub
	launcher launcher
	builder  register.Builder
	secrets  *vault.Vault
	dispatch *dispatch.Dispatcher
	console  *api.Server
	calls    *api.Server
	runDir   string
	peers    atomic.Pointer[[]string] // where runners reach the live gateways
}

// build makes the parts from the ground up and starts each: stores, catalog,
// runners, calls, and the listeners last. What it started is in life, also on an error.
func build(ctx context.Context, cfg *Config, log *slog.Logger, l *life) (*gateway, error) {
	g := &gateway{cfg: cfg, log: log, life: l, id: newGatewayID()}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"prepare the data folder", g.prepareData},
		{"listen", g.listen},
		{"open Redis", g.openRedis},
		{"open the object store", g.openObjects},
		{"open the secrets", g.openSecrets},
		{"load the registrations", g.loadRegistrations},
		{"set up runners", g.startRunners},
		{"set up calls", g.startDispatch},
		{"serve", g.serve},
	} {
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return g, nil
}

// announce says where the gateway listens, for programs and for people. Who gave
// the token signs in with it; what is printed may be kept as a log.
func (g *gateway) announce(w io.Writer) error {
	text := fmt.Sprintf("DAVIT_CONSOLE=%s\nDAVIT_CALLS=%s\nDAVIT_TOKEN_FILE=%s\n", g.net.console.Addr(), g.net.calls.Addr(), g.token.file)
	if g.cfg.Token == "" {
		text += fmt.Sprintf("Sign in once: http://%s/sign-in?code=%s\n", g.net.console.Addr(), g.console.NewSignInCode())
	}
	_, err := io.WriteString(w, text)
	return err
}

func (g *gateway) prepareData(context.Context) error {
	if err := makeDataDir(g.cfg.DataDir); err != nil {
		return err
	}
	t, err := adminToken(g.cfg)
	g.token = t
	return err
}

func (g *gateway) listen(ctx context.Context) error {
	n, err := listen(ctx, g.cfg)
	if err != nil {
		return err
	}
	g.net = n
	g.life.onStop("listeners", n.close)
	return nil
}

// loadRegistrations rebuilds a Redis that lost them, and fills the catalog.
func (g *gateway) loadRegistrations(ctx context.Context) error {
	runDir, err := makeRunDir(g.cfg.DataDir)
	if err != nil {
		return err
	}
	g.runDir = runDir
	g.catalog = register.NewCatalog(register.CatalogOptions{Revisions: g.records, Functions: g.records, Triggers: g.records, Versions: g.records, Log: g.log})
	g.meter = meter.New(version.String(), runtime.Version(), g.slotTotals, func() bool { return g.dispatch != nil && g.dispatch.LeadsAll() })
	g.register = register.New(register.Options{
		Gateway: g.id, Revisions: g.records, Functions: g.records, Triggers: g.records, Versions: g.records, Objects: g.objects.store, Builder: lateBuilder{g}, Readier: lateReadier{g}, Catalog: g.catalog,
		Gateways: g.records, Capabilities: g.cfg.capabilities(), Secrets: g.secrets, Forget: g.forget, Defaults: g.cfg.defaults(),
		Builds: g.cfg.Builds, BuildTimeout: g.cfg.BuildTimeout,
		Limits: archiveLimits(g.cfg), SpoolDir: g.runDir, Log: g.log, Now: time.Now,
	})
	if err := g.register.Restore(ctx); err != nil {
		return err
	}
	return g.catalog.Load(ctx)
}

// startRunners makes the hub that runners dial in to, and the launcher that brings them up.
func (g *gateway) startRunners(ctx context.Context) error {
	secret, err := g.records.Secret(ctx)
	if err != nil {
		return err
	}
	tokens := runnerTokens{secret}
	g.dispatch = g.newDispatcher()
	g.hub = hub.New(hub.Options{
		Gateway: g.id, Verify: tokens.verify, Observer: observer{g.dispatch, g}, Log: g.log, Peers: func() []string { return []string{g.net.runnerAddr()} },
		Parts: g.dispatch,
	})
	g.dispatch.Attach(g.hub)
	g.launcher, err = g.newLauncher(tokens)
	return err
}

// startDispatch starts what runs calls. Runners end first and the hub last, so
// that what they report on their way out is settled.
func (g *gateway) startDispatch(context.Context) error {
	g.life.start("hub", g.hub.Run)
	g.life.start("runner listener", serveHTTP(g.net.runners, g.runnerHandler(), 0))
	g.life.start("registrations", g.register.Run)
	g.life.start("catalog", func(ctx context.Context) error { return g.catalog.Run(ctx, g.beat) })
	g.life.start("dispatch", g.dispatch.Run)
	messages, unsubscribe := g.records.Subscribe()
	g.life.start("messages", func(ctx context.Context) error {
		defer unsubscribe()
		return g.hear(ctx, messages)
	})
	g.life.start("launcher", g.launcher.Run)
	return nil
}

// serve opens the gateway to callers; when it stops, running calls come to their end first.
func (g *gateway) serve(context.Context) error {
	g.console = g.newConsole(web.Files)
	g.calls = g.newCalls()
	g.life.start("downloads", serveHTTP(g.net.downloads, g.objects.public, 0))
	g.life.start("console", serveEdge(g.console, g.net.console))
	g.life.start("triggers", serveEdge(g.calls, g.net.calls))
	g.life.onStop("drain", func() { g.dispatch.Drain(context.Background()) })
	return nil
}

func findRunner(cfg *Config) (string, error) {
	if cfg.RunnerBinary != "" {
		return cfg.RunnerBinary, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's folder: %w", err)
	}
	return besideOrInPath(self, "davit-runner")
}
