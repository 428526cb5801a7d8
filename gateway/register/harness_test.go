package register_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"davit/gateway/embedded"
	"davit/gateway/redisstore"
	"davit/gateway/register"
	"davit/internal/archive"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/faas/route"
	"davit/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is what the gateways of a test share: a Redis, an object store and a clock.
type site struct {
	url    string
	prefix string
	folder string
	skew   atomic.Int64 // added to the clock
	next   int

	capabilities faas.Capabilities
	secrets      register.Secrets
	forget       func(context.Context, faas.RevisionRef) error
	buildTimeout time.Duration
	memory       *memory // nil: objects are in the folder
}

func (s *site) now() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) }

// onEachRedis runs a test with the embedded Redis and with a Redis server.
func onEachRedis(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, newEmbeddedSite(t)) })
	t.Run("redis", func(t *testing.T) { test(t, newSite(t, "redis://"+testenv.Redis(t)+"/0")) })
}

func newSite(t *testing.T, url string) *site {
	t.Helper()
	return &site{url: url, prefix: "test:", folder: t.TempDir(), capabilities: faas.Capabilities{Why: "it needs a cluster"}}
}

// repairCounter counts the repairs that a gateway logs.
type repairCounter struct {
	slog.Handler
	times atomic.Int64
}

func (c *repairCounter) Enabled(context.Context, slog.Level) bool { return true }

func (c *repairCounter) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "registry and store agree" {
		c.times.Add(1)
	}
	if !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

// gateway is the part of a gateway process that registers.
type gateway struct {
	*register.Service
	id       faas.GatewayID
	site     *site
	store    *redisstore.Store
	registry registry
	objects  register.Objects
	mortal   *mortal
	builder  *fakeBuilder
	readier  *fakeReadier
	catalog  *register.Catalog
	repaired *repairCounter
	stop     func()
	lingers  bool // stop does not call Leave, as if the process were killed
}

// redis returns one more client of the site's Redis.
func (s *site) redis(t *testing.T) *redisstore.Store {
	t.Helper()
	store, err := redisstore.Open(t.Context(), redisstore.Options{URL: s.url, Prefix: s.prefix, Endpoints: route.Endpoints, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// start runs a gateway until the test ends or stop is called. It dies at its write number dieAt; 0: never.
func (s *site) start(t *testing.T, dieAt int64) *gateway {
	t.Helper()
	s.next++
	g := &gateway{id: faas.GatewayID(fmt.Sprintf("gateway-%d", s.next)), site: s, builder: newFakeBuilder(), readier: &fakeReadier{}}
	g.repaired = &repairCounter{Handler: slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})}
	log := slog.New(g.repaired)
	var err error
	g.store, err = redisstore.Open(t.Context(), redisstore.Options{URL: s.url, Prefix: s.prefix, Endpoints: route.Endpoints, Log: log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	g.registry = g.store
	g.objects = s.memory
	if s.memory == nil {
		folder, err := blob.NewFolder(s.folder, blob.FolderOptions{Secret: bytes.Repeat([]byte("s"), 32)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = folder.Close() })
		g.objects = folder
	}
	g.mortal = &mortal{registry: g.registry, Objects: g.objects, dieAt: dieAt, dead: make(chan struct{})}
	g.catalog = newCatalog(g.registry, log)
	g.Service = register.New(register.Options{
		Gateway: g.id, Revisions: g.mortal, Functions: g.mortal, Triggers: g.mortal, Versions: g.mortal, Objects: g.mortal,
		Builder: g.builder, Readier: g.readier, Catalog: g.catalog, Gateways: g.store,
		Capabilities: s.capabilities, Secrets: s.secrets, Forget: s.forget,
		Limits: archive.Limits{PackedBytes: 1 << 20}, SpoolDir: t.TempDir(), BuildTimeout: s.buildTimeout, Log: log, Now: s.now,
	})
	g.run(t)
	return g
}

// run starts the loops in the order of a real gateway.
func (g *gateway) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var loops errgroup.Group
	loops.Go(func() error { return g.store.Run(ctx) })
	messages, unsubscribe := g.store.Subscribe()
	loops.Go(func() error {
		for {
			select {
			case m := <-messages:
				if m.Kind == redisstore.KindRegistry || m.Kind == redisstore.KindResync {
					g.catalog.Wake()
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	if err := g.Restore(ctx); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if err := g.catalog.Load(ctx); err != nil {
		t.Fatalf("load: %v", err)
	}
	loops.Go(func() error { return g.catalog.Run(ctx, g.beat) })
	loops.Go(func() error { return g.Run(ctx) })
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := loops.Wait(); err != nil {
			t.Errorf("a loop ended with %v", err)
		}
		unsubscribe()
		if !g.lingers {
			_ = g.store.Leave(context.Background(), g.id)
		}
		_ = g.store.Close()
	})
	t.Cleanup(g.stop)
}

// beat writes the heartbeat of the gateway unless it was killed.
func (g *gateway) beat(ctx context.Context, applied int64) error {
	if g.mortal.isDead() {
		return errKilled
	}
	return g.store.Beat(ctx, redisstore.Gateway{ID: g.id, RunnerAddr: "127.0.0.1:1", Applied: applied})
}

// fakeBuilder builds at once, or when hold is closed.
type fakeBuilder struct {
	mu    sync.Mutex
	fails map[faas.RevisionNumber]string
	hold  chan struct{} // not nil: builds wait until it is closed
	began []faas.RevisionRef
}

func newFakeBuilder() *fakeBuilder { return &fakeBuilder{fails: map[faas.RevisionNumber]string{}} }

func (b *fakeBuilder) Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (faas.Built, error) {
	b.mu.Lock()
	hold, why := b.hold, b.fails[rev.Number]
	b.began = append(b.began, rev.Ref())
	b.mu.Unlock()
	if source == nil {
		return faas.Built{Image: rev.Spec.Image + "@sha256:1", Command: faas.Command{"/entry", "of", "image"}}, nil
	}
	n, err := io.Copy(io.Discard, source)
	if err != nil {
		return faas.Built{}, err
	}
	_, _ = fmt.Fprintf(log, "read %d bytes\n", n)
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return faas.Built{}, ctx.Err()
		}
	}
	if why != "" {
		_, _ = io.WriteString(log, why)
		return faas.Built{}, faas.Errorf(faas.BuildFailed, "%s", why)
	}
	return faas.Built{Image: "sha256:" + rev.SourceSum}, nil
}

func (b *fakeBuilder) builds() []faas.RevisionRef {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.began)
}

// tgz returns an archive of one file.
func tgz(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "app.sh", Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Write([]byte(content))
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// put registers a source and waits until it is ready or failed.
func (g *gateway) put(t *testing.T, name faas.FunctionName, content string) *faas.Revision {
	t.Helper()
	r, err := g.PutSource(t.Context(), name, faas.FunctionSpec{Command: faas.Command{"./app.sh"}}, bytes.NewReader(tgz(t, content)))
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	rev, err := g.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second)
	if err != nil {
		t.Fatalf("wait for %s: %v", r.Revision.Ref(), err)
	}
	if rev.State == faas.RevisionBuilding {
		t.Fatalf("%s is still building", rev.Ref())
	}
	return rev
}

func (g *gateway) putTrigger(t *testing.T, name faas.TriggerName, function faas.FunctionName, path string) *faas.Trigger {
	t.Helper()
	trigger, _, err := g.PutTrigger(t.Context(), name, faas.TriggerSpec{Function: function, Methods: []string{"GET"}, Path: path})
	if err != nil {
		t.Fatalf("put trigger %s: %v", name, err)
	}
	return trigger
}

func (g *gateway) live(t *testing.T, name faas.FunctionName) faas.RevisionNumber {
	t.Helper()
	rev, err := g.catalog.Live(name)
	if err != nil {
		t.Fatalf("live revision of %s: %v", name, err)
	}
	return rev.Number
}

// keys returns the keys in the object store.
func (g *gateway) keys(t *testing.T, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range g.objects.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(info.Key))
	}
	return keys
}

func wantKind(t *testing.T, err error, kind faas.Kind) {
	t.Helper()
	_ = problem(t, err, kind)
}

// problem returns err, which must be a *faas.Error of that kind.
func problem(t *testing.T, err error, kind faas.Kind) *faas.Error {
	t.Helper()
	var e *faas.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("error %v (%s), want kind %s", err, faas.KindOf(err), kind)
	}
	return e
}

// newEmbeddedSite returns a site with the embedded Redis, for tests that do not depend on the kind of Redis.
func newEmbeddedSite(t *testing.T) *site {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return newSite(t, server.URL())
}
