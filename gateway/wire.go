package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"davit/gateway/api"
	"davit/gateway/dispatch"
	"davit/gateway/meter"
	"davit/gateway/redisstore"
	"davit/gateway/register"
	"davit/gateway/register/form"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/version"
)

// The types in this file join parts that do not know each other: each turns
// the words of one into those of the other and decides nothing.

func (g *gateway) newDispatcher() *dispatch.Dispatcher {
	return dispatch.New(dispatch.Options{
		Gateway: g.id, Records: g.records, Archive: g.records, Queue: g.records, Places: g.records, Gateways: g.records, Leader: g.records,
		Launcher: lateLauncher{g}, Shared: g.cfg.Launcher == launcherKube, Catalog: g.catalog, Objects: g.objects.store, Signer: g.objects.signer,
		Meter: g.meter, Logger: g.log, Now: time.Now,
		Limits: dispatch.Limits{
			MaxLog: g.cfg.sizes.maxLog, MaxResult: g.cfg.sizes.maxResult,
			Runners: g.cfg.MaxRunners, Grace: g.cfg.RunnerGrace, Lease: g.cfg.Lease, Drain: g.cfg.Drain,
		},
	})
}

// lateReadier is the dispatcher, which is made after the registrations.
type lateReadier struct{ g *gateway }

func (r lateReadier) Ready(ctx context.Context, rev *faas.Revision, log io.Writer) (func(), error) {
	return r.g.dispatch.Ready(ctx, rev, log)
}

// beat says that this gateway lives and which registrations it serves.
func (g *gateway) beat(ctx context.Context, applied int64) error {
	if err := g.records.Beat(ctx, redisstore.Gateway{ID: g.id, RunnerAddr: g.net.runnerAddr(), Applied: applied}); err != nil {
		return err
	}
	return g.tellPeers(ctx)
}

// tellPeers has runners dial every live gateway.
func (g *gateway) tellPeers(ctx context.Context) error {
	live, err := g.records.LiveGateways(ctx)
	if err != nil {
		return err
	}
	if g.hub == nil {
		return nil
	}
	addrs := make([]string, 0, len(live))
	for _, peer := range live {
		if peer.RunnerAddr != "" {
			addrs = append(addrs, peer.RunnerAddr)
		}
	}
	g.hub.SetPeers(addrs)
	g.peers.Store(&addrs)
	return nil
}

// gatewayAddrs are where new runners of this machine dial in: here, and at the
// other gateways, should this one die before it can name them.
func (g *gateway) gatewayAddrs() []string {
	own := g.net.runnerAddr()
	addrs := []string{own}
	if peers := g.peers.Load(); peers != nil {
		for _, addr := range *peers {
			if addr != own {
				addrs = append(addrs, addr)
			}
		}
	}
	return addrs
}

// hear passes on what gateways tell each other.
func (g *gateway) hear(ctx context.Context, messages <-chan redisstore.Message) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-messages:
			switch m.Kind {
			case redisstore.KindRegistry:
				g.catalog.Wake()
			case redisstore.KindPeers:
				if err := g.tellPeers(ctx); err != nil {
					g.log.Warn("tell runners of the live gateways", "error", err)
				}
			case redisstore.KindCancel:
				g.dispatch.CancelHeard(m.Invocation)
			case redisstore.KindInvocation:
				if m.State.Final() {
					g.dispatch.EndHeard(m.Invocation)
				}
				g.dispatch.Heard()
			case redisstore.KindPermit:
				g.dispatch.PlaceHeard()
			case redisstore.KindDemand:
				g.dispatch.DemandHeard()
			case redisstore.KindLead:
				g.dispatch.LeadHeard()
			case redisstore.KindExit:
				g.dispatch.ExitHeard(m.Text)
			case redisstore.KindResync:
				g.catalog.Wake()
				g.dispatch.Heard()
			case redisstore.KindApplied:
			}
		}
	}
}

func (g *gateway) slotTotals() meter.Slots {
	var s meter.Slots
	if g.hub == nil {
		return s
	}
	for _, r := range g.hub.Runners() {
		s.Free += r.Free
		s.Busy += r.Busy
	}
	s.Starting = g.dispatch.Starting()
	return s
}

// invocations is the dispatcher as readers of records see it.
type invocations struct{ *dispatch.Dispatcher }

func (i invocations) Result(ctx context.Context, id faas.InvocationID) (blob.Info, api.Opener, *faas.Invocation, error) {
	o, err := i.Dispatcher.Result(ctx, id)
	if err != nil {
		return blob.Info{}, nil, nil, err
	}
	open := func(offset, length int64) (io.ReadCloser, error) { return o.Open(ctx, offset, length) }
	return o.Info, open, o.Invocation, nil
}

func (i invocations) Input(ctx context.Context, id faas.InvocationID) (blob.Info, io.ReadCloser, error) {
	o, err := i.Dispatcher.Input(ctx, id)
	if err != nil {
		return blob.Info{}, nil, err
	}
	o.Info.ContentType = o.Invocation.Input.ContentType
	r, err := o.Open(ctx, 0, -1)
	return o.Info, r, err
}

// registrar is the registrations as the HTTP edge sees them.
type registrar struct{ *register.Service }

func (r registrar) PutSource(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*api.Registered, error) {
	return registered(r.Service.PutSource(ctx, name, spec, source))
}

func (r registrar) PutImage(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec) (*api.Registered, error) {
	return registered(r.Service.PutImage(ctx, name, spec))
}

func (r registrar) RegisterForm(ctx context.Context, f *api.Form) (*api.FormResult, error) {
	result, err := form.Register(ctx, r.Service, (*form.Form)(f))
	if err != nil {
		return nil, err
	}
	fn, _ := registered(result.Function, nil)
	return &api.FormResult{Function: fn, Trigger: result.Trigger, Created: result.Created}, nil
}

func registered(r *register.Registered, err error) (*api.Registered, error) {
	if err != nil || r == nil {
		return nil, err
	}
	return &api.Registered{Revision: r.Revision, Created: r.Created}, nil
}

// changes is the subscription of the event stream.
type changes struct{ store *redisstore.Store }

func (c changes) Subscribe() (<-chan api.Change, func()) {
	messages, cancel := c.store.Subscribe()
	out := make(chan api.Change, 64)
	go func() {
		defer close(out)
		for m := range messages {
			if change, ok := changeOf(m); ok {
				select {
				case out <- change:
				default: // a reader that is too slow loses some; it resyncs by reading
				}
			}
		}
	}()
	return out, cancel
}

func changeOf(m redisstore.Message) (api.Change, bool) {
	switch m.Kind {
	case redisstore.KindInvocation:
		return api.Change{Kind: "invocation", ID: string(m.Invocation), State: string(m.State), Function: string(m.Function), Trigger: string(m.Trigger)}, true
	case redisstore.KindRegistry:
		return api.Change{Kind: "registrations"}, true
	case redisstore.KindResync:
		return api.Change{Kind: "resync"}, true
	case redisstore.KindApplied, redisstore.KindPeers, redisstore.KindCancel, redisstore.KindPermit, redisstore.KindDemand, redisstore.KindLead, redisstore.KindExit:
	}
	return api.Change{}, false
}

// requests counts HTTP requests.
type requests struct{ m *meter.Meter }

func (r requests) Counted(listener, route, method string, code int) {
	r.m.Request(listener, route, method, code)
}

func (g *gateway) newConsole(page fs.FS) *api.Server {
	r := registrar{g.register}
	secret := []byte(g.token.value)
	return api.NewConsole(api.ConsoleOptions{
		Functions: g.records, Triggers: g.records, Register: r, Change: g.register, SetTriggers: g.register, Forms: r, Secrets: g.secrets,
		Invocations: invocations{g.dispatch}, Changes: changes{g.records}, Slots: g.dispatch.Slots,
		Ready:   g.dependencies(),
		Metrics: g.meter.Handler(), Requests: requests{g.meter}, Page: page, Info: g.info,
		Token: g.token.value, Secret: secret, Hosts: g.cfg.ConsoleHosts, CallsURL: "http://" + g.net.calls.Addr().String(),
		TempDir: g.runDir, Limits: g.limits(), Log: g.log, Now: time.Now,
	})
}

// dependencies are what has to be there for calls.
func (g *gateway) dependencies() map[string]api.Prober {
	all := map[string]api.Prober{"redis": g.records, "store": g.objects.store}
	if cluster, is := g.launcher.(api.Prober); is {
		all["kubernetes"] = cluster
	}
	return all
}

func (g *gateway) newCalls() *api.Server {
	return api.NewTriggers(api.TriggerOptions{
		Matcher: g.catalog, Caller: g.dispatch, Invocations: invocations{g.dispatch}, Requests: requests{g.meter},
		Token: g.token.value, Limits: g.limits(), Log: g.log, Now: time.Now,
	})
}

func (g *gateway) limits() api.Limits {
	return api.Limits{Body: g.cfg.BodyIdle, Write: g.cfg.BodyIdle, SourceBytes: int64(g.cfg.sizes.maxArchive)}
}

// info is what GET /v1/limits tells.
func (g *gateway) info() api.Info {
	redis := "embedded"
	if g.cfg.RedisURL != "" {
		redis = "external"
	}
	mode := "embedded"
	if g.cfg.RedisURL != "" || g.objects.kind != "folder" || g.cfg.Launcher != launcherLocal {
		mode = "configured"
	}
	return api.Info{
		Version: version.String(), Mode: mode, Sandbox: g.launcher.Sandbox(),
		Parts:        map[string]string{"redis": redis, "store": g.objects.kind, "launcher": g.cfg.Launcher},
		Capabilities: g.cfg.capabilities(),
		Limits: map[string]any{
			"max_archive": g.cfg.sizes.maxArchive, "max_archive_unpacked": g.cfg.sizes.maxUnpacked, "max_archive_entries": g.cfg.MaxArchiveEntries,
			"max_log": g.cfg.sizes.maxLog, "max_result": g.cfg.sizes.maxResult, "max_runners": g.cfg.MaxRunners, "runner_grace": faas.Duration(g.cfg.RunnerGrace),
			"not_enforced": g.launcher.Caveats(), "lease": faas.Duration(g.cfg.Lease), "drain": faas.Duration(g.cfg.Drain), "body_idle": faas.Duration(g.cfg.BodyIdle),
		},
	}
}

// describeSettings prints the README's table of settings.
func describeSettings(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(settingsTable(), "\n")+"\n")
	if err != nil {
		return fmt.Errorf("print the settings: %w", err)
	}
	return nil
}
