package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"davit/gateway/api"
	"davit/gateway/dispatch"
	"davit/gateway/docker"
	"davit/gateway/fleet"
	"davit/gateway/hub"
	"davit/gateway/kube"
	"davit/gateway/local"
	"davit/gateway/observer"
	"davit/gateway/recovery"
	"davit/gateway/register"
	"davit/gateway/vault"
	"davit/internal/faas"
)

// launcher starts runners, ends them, and describes itself. Both implementations are known here only.
type launcher interface {
	kept
	single
	described
}

// kept starts and ends standby and warm runners.
type kept interface {
	fleet.Launcher
	fleet.Ender
}

// single starts runners for single calls, and knows how runners do.
type single interface {
	dispatch.Launcher
	recovery.Launcher
	observer.Launcher
}

// described says what a launcher is, human-readable.
type described interface {
	Sandbox() string
	Caveats() []string
}

// runners are the parts that start and build what calls run on.
type runners struct {
	launcher launcher
	builder  register.Builder
	secrets  *vault.Vault
	shared   bool                                                  // the launchers of all gateways have the same runners
	cluster  api.Prober                                            // nil: there is none
	forget   func(ctx context.Context, ref faas.RevisionRef) error // deletes what a launcher keeps of a revision; nil: nothing
	run      func(ctx context.Context, exited func(faas.Exit), wanted kube.Wanted) error
}

// runnerParts are what launchers and builders need of the other parts.
type runnerParts struct {
	*ground

	catalog *register.Catalog
	peers   *peers
	log     *slog.Logger
}

// newRunners makes the launcher that is set, with its builder and the users' secrets.
func newRunners(cfg *Config, p *runnerParts, life *life) (*runners, error) {
	if cfg.Launcher == launcherKube {
		return newKubeRunners(cfg, p, life)
	}
	return newLocalRunners(cfg, p)
}

func (p *runnerParts) vault(publisher vault.Publisher) (*vault.Vault, error) {
	return vault.New(vault.Options{Objects: p.objects.store, Secret: p.secret, Publisher: publisher, Users: p.usersOf})
}

// usersOf returns the functions whose live revision names a secret.
func (p *runnerParts) usersOf(name faas.SecretName) []faas.FunctionName {
	var users []faas.FunctionName
	for _, rev := range p.catalog.LiveRevisions() {
		if rev.Spec.RegistrySecret == string(name) || slices.Contains(rev.Spec.Secrets, string(name)) {
			users = append(users, rev.Function)
		}
	}
	return users
}

func (p *runnerParts) hasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error) {
	_, err := p.store.FindRevision(ctx, ref)
	if faas.KindOf(err) == faas.NotFound {
		return false, nil
	}
	return err == nil, err
}

func newLocalRunners(cfg *Config, p *runnerParts) (*runners, error) {
	binary, err := findRunner(cfg)
	if err != nil {
		return nil, err
	}
	secrets, err := p.vault(nil)
	if err != nil {
		return nil, err
	}
	l, err := local.New(local.Options{
		RunnerBinary: binary, Dir: p.files.runDir, Path: cfg.path, NoLandlock: !cfg.Landlock, Gateways: p.peers.dial,
		Token: runnerTokens{p.secret}.of, Source: register.Sources{Objects: p.objects.store}.Open, Limits: archiveLimits(cfg), Keep: p.catalog.UsesSource,
		Hide: []string{cfg.DataDir}, Log: p.log,
	})
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context, exited func(faas.Exit), _ kube.Wanted) error { return l.Run(ctx, exited) }
	return &runners{launcher: localLauncher{l, secrets}, builder: l, secrets: secrets, run: run}, nil
}

func newKubeRunners(cfg *Config, p *runnerParts, life *life) (*runners, error) {
	clients, err := kube.Connect(cfg.Kubeconfig)
	if err != nil {
		return nil, err
	}
	l, err := kube.New(kube.Options{
		Clients: clients, Namespace: cfg.KubeNamespace, Gateways: []string{p.net.runnerAddr()}, Token: runnerTokens{p.secret}.of,
		PullPolicy: cfg.KubePullPolicy, PullSecret: cfg.KubePullSecret, TTL: cfg.KubeJobTTL, Unschedulable: cfg.KubeRoom,
		Log: p.log, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	secrets, err := p.vault(l)
	if err != nil {
		return nil, err
	}
	builder, err := newBuilder(cfg, p, secrets, life)
	if err != nil {
		return nil, err
	}
	return &runners{
		launcher: l, builder: preparedBuilder{builder, l}, secrets: secrets, shared: true, cluster: l, forget: l.Forget, run: l.Run,
	}, nil
}

// newBuilder makes the builder of images, which tidies up while the gateway runs.
func newBuilder(cfg *Config, p *runnerParts, secrets *vault.Vault, life *life) (*docker.Builder, error) {
	binary, err := findRunner(cfg)
	if err != nil {
		return nil, err
	}
	b, err := docker.New(docker.Options{
		Host: cfg.DockerHost, Certs: cfg.DockerCerts, Registry: cfg.Registry, RegistryPull: cfg.RegistryPull, RegistryLogin: cfg.RegistryLogin,
		BaseImage: cfg.BaseImage, BaseImages: cfg.BaseImages, Runner: binary, Dir: p.files.runDir, Limits: archiveLimits(cfg),
		Memory: cfg.BuildMemory, Disk: cfg.BuildDisk, Output: cfg.BuildLog, Longest: cfg.BuildTimeout,
		Secret: secrets.Value, Known: p.hasRevision, Log: p.log,
	})
	if err != nil {
		return nil, err
	}
	life.onStop("Docker connections", func() { _ = b.Close() })
	life.start("image builder", b.Run)
	return b, nil
}

// preparedBuilder prepares the launcher for what it has built, so that the first call need not.
type preparedBuilder struct {
	*docker.Builder

	launcher *kube.Launcher
}

func (b preparedBuilder) Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (faas.Built, error) {
	built, err := b.Builder.Build(ctx, rev, source, log)
	if err != nil {
		return faas.Built{}, err
	}
	made := *rev
	made.Image = built.Image
	return built, b.launcher.Prepare(ctx, &made)
}

// localLauncher gives the processes of package local their secrets.
type localLauncher struct {
	*local.Launcher

	secrets *vault.Vault
}

// Launch needs no bound, because the runner ends with this gateway.
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

// Explain knows nothing, because the end of a process is reported at once.
func (l localLauncher) Explain(faas.RunnerID) (reason faas.Reason, detail string, known bool) {
	return "", "", false
}

// wanted knows which runners in the cluster are still of use.
type wanted struct {
	parts *runnerParts
	hub   *hub.Hub
	fleet *fleet.Fleet
	calls *dispatch.Dispatcher
}

// Leads reports whether this gateway sweeps: the gateway that decides on the fleet does.
func (w wanted) Leads() bool { return w.fleet.Leads() }

// WantsRunner reports whether an invocation is not final.
func (w wanted) WantsRunner(ctx context.Context, id faas.InvocationID) (bool, error) {
	inv, err := w.parts.store.FindInvocation(ctx, id)
	if faas.KindOf(err) == faas.NotFound {
		_, owned := w.hub.Owner(id) // Redis has lost the record
		return owned || w.calls.Leads(id), nil
	}
	return err == nil && !inv.State.Final(), err
}

// HasRevision reports whether a revision is registered.
func (w wanted) HasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error) {
	if live, err := w.parts.catalog.Live(ref.Function); err == nil && live.Number == ref.Number {
		return true, nil
	}
	return w.parts.hasRevision(ctx, ref)
}

// runnerTokens makes and checks the token that belongs to one revision's runners.
type runnerTokens struct{ secret []byte }

func (t runnerTokens) of(ref faas.RevisionRef) string {
	mac := hmac.New(sha256.New, t.secret)
	_, _ = mac.Write([]byte("runner:" + ref.String()))
	return hex.EncodeToString(mac.Sum(nil))
}

func (t runnerTokens) verify(ref faas.RevisionRef, token string) bool {
	return hmac.Equal([]byte(t.of(ref)), []byte(token))
}
