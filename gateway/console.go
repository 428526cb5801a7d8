package gateway

import (
	"context"
	"log/slog"
	"time"

	"davit/gateway/api"
	"davit/gateway/dispatch"
	"davit/gateway/edge"
	"davit/gateway/meter"
	"davit/gateway/records"
	"davit/gateway/register"
	"davit/gateway/register/form"
	"davit/internal/faas"
	"davit/internal/version"
	"davit/web"
)

// edgeParts are what the two HTTP servers of callers and users need.
type edgeParts struct {
	*ground
	*parts

	cfg *Config
	log *slog.Logger
}

func (p *edgeParts) invocations() invocations { return invocations{p.records, p.calls} }

// invocations reads and cancels invocations.
type invocations struct {
	*records.Reader

	calls *dispatch.Dispatcher
}

// Cancel ends an invocation in whatever state it is, on whichever gateway.
func (i invocations) Cancel(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	return i.calls.Cancel(ctx, id)
}

func (p *edgeParts) newConsole() *api.ConsoleServer {
	return api.NewConsole(api.ConsoleOptions{
		Functions: p.store, Triggers: p.store, Register: p.registry, Change: p.registry, SetTriggers: p.registry, Forms: forms{p.registry}, Secrets: p.runners.secrets,
		Sessions: p.store, Invocations: p.invocations(), Changes: changes{p.store}, Slots: p.fleet.Slots, Ready: p.dependencies(),
		Metrics: p.meter.Handler(), Requests: requests{p.meter}, Page: web.Files, Info: p.info,
		Token: p.files.token.value, Secret: []byte(p.files.token.value), Hosts: p.cfg.ConsoleHosts, CallsURL: "http://" + p.net.calls.Addr().String(),
		TempDir: p.files.runDir, Limits: p.limits(), Log: p.log, Now: time.Now,
	})
}

func (p *edgeParts) newTriggers() *api.Server {
	return api.NewTriggers(api.TriggerOptions{
		Matcher: p.catalog, Caller: p.calls, Invocations: p.invocations(), Requests: requests{p.meter},
		Token: p.files.token.value, Limits: p.limits(), Log: p.log, Now: time.Now,
	})
}

// dependencies are the parts without which calls fail.
func (p *edgeParts) dependencies() map[string]api.Prober {
	all := map[string]api.Prober{"redis": p.store, "store": p.objects.store}
	if p.runners.cluster != nil {
		all["kubernetes"] = p.runners.cluster
	}
	return all
}

func (p *edgeParts) limits() api.Limits {
	return api.Limits{Limits: edge.Limits{Body: p.cfg.BodyIdle, Write: p.cfg.BodyIdle}, SourceBytes: int64(p.cfg.MaxArchive)}
}

// info is the answer of GET /v1/limits.
func (p *edgeParts) info() api.Info {
	cfg, redis, mode := p.cfg, "embedded", "embedded"
	if cfg.RedisURL != "" {
		redis = "external"
	}
	if cfg.RedisURL != "" || p.objects.kind != "folder" || cfg.Launcher != launcherLocal {
		mode = "configured"
	}
	return api.Info{
		Version: version.String(), Mode: mode, Sandbox: p.runners.launcher.Sandbox(),
		Parts:        map[string]string{"redis": redis, "store": p.objects.kind, "launcher": cfg.Launcher},
		Capabilities: cfg.capabilities(),
		Limits: api.InForce{
			BodyIdle: faas.Duration(cfg.BodyIdle), Drain: faas.Duration(cfg.Drain), Lease: faas.Duration(cfg.Lease),
			MaxArchive: cfg.MaxArchive, MaxArchiveEntries: cfg.MaxArchiveEntries, MaxArchiveUnpacked: cfg.MaxArchiveUnpacked,
			MaxLog: cfg.MaxLog, MaxResult: cfg.MaxResult, MaxRunners: cfg.MaxRunners,
			NotEnforced: p.runners.launcher.Caveats(), RunnerGrace: faas.Duration(cfg.RunnerGrace),
		},
	}
}

// requests counts HTTP requests.
type requests struct{ m *meter.Meter }

func (r requests) Counted(listener, route, method string, code int) {
	r.m.Request(listener, route, method, code)
}

// forms is the registrations as the original's form registers them.
type forms struct{ registry *register.Service }

func (f forms) RegisterForm(ctx context.Context, posted *form.Form) (*form.Result, error) {
	return form.Register(ctx, f.registry, posted)
}
