package main

import (
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"davit/gateway/dispatch"
	"davit/gateway/kube"
	"davit/gateway/local"
	"davit/gateway/register"
	"davit/gateway/vault"
	"davit/internal/faas"
	"davit/internal/task"
)

// launcher brings runners up and says what they are.
type launcher interface {
	dispatch.Launcher
	described
	Joined(runner faas.RunnerID)
	Run(ctx context.Context) error
}

// described is what people want to know of a launcher.
type described interface {
	Sandbox() string
	Caveats() []string
}

// lateLauncher is the launcher, which is made after the dispatcher that it reports to.
type lateLauncher struct{ g *gateway }

func (l lateLauncher) Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error {
	return l.g.launcher.Launch(ctx, rev, id, timeout)
}

func (l lateLauncher) Stop(ctx context.Context, id faas.InvocationID) error {
	return l.g.launcher.Stop(ctx, id)
}

func (l lateLauncher) Explain(runner faas.RunnerID) (faas.Reason, string, bool) {
	return l.g.launcher.Explain(runner)
}

func (l lateLauncher) Scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error {
	return l.g.launcher.Scale(ctx, rev, start, n)
}

func (l lateLauncher) Retire(ref faas.RevisionRef) { l.g.launcher.Retire(ref) }

func (l lateLauncher) Running(ref faas.RevisionRef, start faas.Start) int {
	return l.g.launcher.Running(ref, start)
}

func (l lateLauncher) Counts(runner faas.RunnerID) bool { return l.g.launcher.Counts(runner) }

func (l lateLauncher) End(ctx context.Context, runner faas.RunnerID) error {
	return l.g.launcher.End(ctx, runner)
}

// observer tells the dispatcher what runners do, and the launcher that they dialled in.
type observer struct {
	*dispatch.Dispatcher
	g *gateway
}

func (o observer) Joined(hello task.Hello) {
	o.g.launcher.Joined(hello.Runner)
	o.Dispatcher.Joined(hello)
}

// newLauncher makes the launcher that is set.
func (g *gateway) newLauncher(tokens runnerTokens) (launcher, error) {
	if g.cfg.Launcher == launcherKube {
		return g.newKube(tokens)
	}
	return g.newLocal(tokens)
}

// localLauncher is package local as the dispatcher sees it.
type localLauncher struct {
	*local.Launcher

	secrets *vault.Vault
}

// Launch needs no bound: the runner ends with this gateway.
func (l localLauncher) Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, _ time.Duration) error {
	rev, err := l.withSecrets(ctx, rev)
	if err != nil {
		return err
	}
	return l.Launcher.Launch(ctx, rev, id)
}

// Scale gives the runners their secrets, too.
func (l localLauncher) Scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error {
	rev, err := l.withSecrets(ctx, rev)
	if err != nil {
		return err
	}
	return l.Launcher.Scale(ctx, rev, start, n)
}

// withSecrets returns the revision with its secrets among its variables.
func (l localLauncher) withSecrets(ctx context.Context, rev *faas.Revision) (*faas.Revision, error) {
	if len(rev.Spec.Secrets) == 0 {
		return rev, nil
	}
	own := *rev
	own.Spec.Env = make(map[string]string, len(rev.Spec.Env)+len(rev.Spec.Secrets))
	maps.Copy(own.Spec.Env, rev.Spec.Env)
	for _, name := range rev.Spec.Secrets {
		value, err := l.secrets.Value(ctx, name)
		if err != nil {
			return nil, err
		}
		own.Spec.Env[name] = value
	}
	return &own, nil
}

// Explain knows nothing: a process that is gone was told of at once.
func (l localLauncher) Explain(faas.RunnerID) (faas.Reason, string, bool) { return "", "", false }

func (g *gateway) newLocal(tokens runnerTokens) (launcher, error) {
	binary, err := findRunner(g.cfg)
	if err != nil {
		return nil, err
	}
	l, err := local.New(local.Options{
		RunnerBinary: binary, Dir: g.runDir, Path: g.cfg.path, NoLandlock: !g.cfg.Landlock, Gateways: g.gatewayAddrs,
		Token: tokens.of, Source: register.Sources{Objects: g.objects.store}.Open, Limits: archiveLimits(g.cfg), Keep: g.catalog.UsesSource,
		Hide: []string{g.cfg.DataDir}, Log: g.log,
		OnExit: func(e local.Exit) {
			g.dispatch.Exited(e)
		},
	})
	if err != nil {
		return nil, err
	}
	g.builder = l
	return localLauncher{l, g.secrets}, nil
}

// lateBuilder is the builder, which is made after the registrations; what it built
// is made ready to be launched.
type lateBuilder struct{ g *gateway }

func (b lateBuilder) Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (faas.Built, error) {
	built, err := b.g.builder.Build(ctx, rev, source, log)
	if err != nil {
		return faas.Built{}, err
	}
	if k, is := b.g.launcher.(*kube.Launcher); is {
		made := *rev
		made.Image = built.Image
		err = k.Prepare(ctx, &made)
	}
	return built, err
}

func (g *gateway) newKube(tokens runnerTokens) (launcher, error) {
	if err := g.newBuilder(); err != nil {
		return nil, err
	}
	clients, err := kube.Connect(g.cfg.Kubeconfig)
	if err != nil {
		return nil, err
	}
	return kube.New(kube.Options{
		Clients: clients, Namespace: g.cfg.KubeNamespace, Gateway: g.id, Gateways: []string{g.net.runnerAddr()}, Token: tokens.of,
		Wanted:     wanted{g},
		PullPolicy: g.cfg.KubePullPolicy, PullSecret: g.cfg.KubePullSecret, TTL: g.cfg.KubeJobTTL, Unschedulable: g.cfg.KubeRoom,
		Log: g.log, Now: time.Now,
		OnExit: func(e kube.Exit) {
			g.dispatch.Exited(e)
		},
	})
}

// wanted tells the Kubernetes launcher what is still of use.
type wanted struct{ g *gateway }

func (w wanted) WantsRunner(ctx context.Context, id faas.InvocationID) (bool, error) {
	inv, err := w.g.records.FindInvocation(ctx, id)
	if faas.KindOf(err) == faas.NotFound {
		_, held := w.g.hub.Owner(id) // by a runner, and Redis has lost the record
		return held || w.g.dispatch.Leads(id), nil
	}
	return err == nil && !inv.State.Final(), err
}

func (w wanted) HasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error) {
	if live, err := w.g.catalog.Live(ref.Function); err == nil && live.Number == ref.Number {
		return true, nil
	}
	return w.g.hasRevision(ctx, ref)
}

// openSecrets makes the vault of users' secrets.
func (g *gateway) openSecrets(ctx context.Context) error {
	secret, err := g.records.Secret(ctx)
	if err != nil {
		return err
	}
	g.secrets, err = vault.New(vault.Options{Objects: g.objects.store, Secret: secret, Publisher: g.publisher, Users: g.usersOf, Log: g.log})
	return err
}

// publisher is where pods find the values of secrets; nil where there are no pods.
func (g *gateway) publisher() vault.Publisher {
	if k, is := g.launcher.(*kube.Launcher); is {
		return k
	}
	return nil
}

// usersOf returns the functions whose live revision names a secret.
func (g *gateway) usersOf(name faas.SecretName) []faas.FunctionName {
	var users []faas.FunctionName
	for _, rev := range g.catalog.LiveRevisions() {
		if rev.Spec.RegistrySecret == string(name) || slices.Contains(rev.Spec.Secrets, string(name)) {
			users = append(users, rev.Function)
		}
	}
	return users
}

// forget removes what the cluster holds for a revision that is deleted.
func (g *gateway) forget(ctx context.Context, ref faas.RevisionRef) error {
	if k, is := g.launcher.(*kube.Launcher); is {
		return k.Forget(ctx, ref)
	}
	return nil
}
