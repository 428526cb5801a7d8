package register_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"davit/gateway/embedded"
	"davit/gateway/faas"
	"davit/gateway/redisstore"
	"davit/gateway/register"
	"davit/internal/archive"
	"davit/internal/blob"
	"davit/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onRedis makes the registry of a redisstore.
type onRedis struct{ *redisstore.Store }

func (r onRedis) Changes(ctx context.Context, since int64) (register.Changes, error) {
	c, err := r.Store.Changes(ctx, since)
	return register.Changes(c), translated(err)
}

func (r onRedis) Snapshot(ctx context.Context) (*register.Snapshot, error) {
	all, err := r.Store.Snapshot(ctx)
	return (*register.Snapshot)(all), translated(err)
}

func (r onRedis) Restore(ctx context.Context, all *register.Snapshot) error {
	return r.Store.Restore(ctx, (*redisstore.Snapshot)(all), (*faas.Trigger).Slots)
}

func translated(err error) error {
	if errors.Is(err, redisstore.ErrEmpty) {
		return fmt.Errorf("%w: %w", register.ErrEmpty, err)
	}
	return err
}

var errKilled = &faas.Error{Kind: faas.Unavailable, Detail: "this gateway was killed"}

// mortal counts the writes of one gateway and lets it die at one of them: that
// one is done, none after it is, and the gateway hears of neither.
type mortal struct {
	register.Registry
	register.Objects
	writes atomic.Int64
	dieAt  int64 // 0: never
	dead   chan struct{}
	once   sync.Once
}

func (m *mortal) write(do func() error) error {
	n := m.writes.Add(1)
	if m.dieAt == 0 || n < m.dieAt {
		if m.isDead() {
			return errKilled
		}
		return do()
	}
	if n == m.dieAt {
		_ = do()
	}
	m.kill()
	return errKilled
}

func (m *mortal) kill() { m.once.Do(func() { close(m.dead) }) }

func (m *mortal) isDead() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

func (m *mortal) Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (info blob.Info, err error) {
	err = m.write(func() (err error) { info, err = m.Objects.Put(ctx, key, r, size, o); return err })
	return info, err
}

func (m *mortal) Delete(ctx context.Context, key blob.Key) error {
	return m.write(func() error { return m.Objects.Delete(ctx, key) })
}

func (m *mortal) List(ctx context.Context, prefix string, after blob.Key) iter.Seq2[blob.Info, error] {
	return m.Objects.List(ctx, prefix, after)
}

func (m *mortal) AddRevision(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, at time.Time) (rev *faas.Revision, created bool, err error) {
	err = m.write(func() (err error) { rev, created, err = m.Registry.AddRevision(ctx, name, spec, at); return err })
	return rev, created, err
}

func (m *mortal) SaveRevision(ctx context.Context, rev *faas.Revision) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.Registry.SaveRevision(ctx, rev); return err })
	return v, err
}

func (m *mortal) Rollback(ctx context.Context, name faas.FunctionName, n faas.RevisionNumber) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.Registry.Rollback(ctx, name, n); return err })
	return v, err
}

func (m *mortal) DeleteFunction(ctx context.Context, name faas.FunctionName, with bool) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.Registry.DeleteFunction(ctx, name, with); return err })
	return v, err
}

func (m *mortal) SaveTrigger(ctx context.Context, t *faas.Trigger, slots []string) (created bool, v int64, err error) {
	err = m.write(func() (err error) { created, v, err = m.Registry.SaveTrigger(ctx, t, slots); return err })
	return created, v, err
}

func (m *mortal) DeleteTrigger(ctx context.Context, name faas.TriggerName) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.Registry.DeleteTrigger(ctx, name); return err })
	return v, err
}

// site is what gateways share: a Redis, a store, a clock.
type site struct {
	url    string
	prefix string
	folder string
	skew   atomic.Int64 // added to the clock
	next   int

	capabilities faas.Capabilities
}

func (s *site) now() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) }

// state is what is registered, in a form that compares.
type state string

// observe reads what the gateway serves: sources by function, functions by trigger and path.
func (g *gateway) observe(t *testing.T) state {
	t.Helper()
	all, err := g.registry.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range all.Functions {
		sum := "nothing"
		if f.Live > 0 {
			rev, err := g.registry.FindRevision(t.Context(), faas.RevisionRef{Function: f.Name, Number: f.Live})
			if err != nil {
				t.Fatal(err)
			}
			sum = rev.SourceSum[:6]
		}
		out = append(out, fmt.Sprintf("%s=%s", f.Name, sum))
	}
	for _, trigger := range all.Triggers {
		out = append(out, fmt.Sprintf("%s:%s→%s", trigger.Name, trigger.Path, trigger.Function))
	}
	slices.Sort(out)
	return state(strings.Join(out, " "))
}

// building counts the revisions that are being built, by the store's copies.
func (g *gateway) building(t *testing.T) int {
	t.Helper()
	n := 0
	for _, key := range g.keys(t, "functions/") {
		if !strings.HasSuffix(key, "/revision.json") {
			continue
		}
		r, _, err := g.objects.Get(t.Context(), blob.Key(key), 0, -1)
		if errors.Is(err, blob.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(`"state":"building"`)) {
			n++
		}
	}
	return n
}

// onEachRedis runs a test with the embedded Redis and with a real one.
func onEachRedis(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, newEmbeddedSite(t)) })
	t.Run("redis", func(t *testing.T) { test(t, newSite(t, "redis://"+testenv.Redis(t)+"/0")) })
}

func newSite(t *testing.T, url string) *site {
	t.Helper()
	return &site{url: url, prefix: "test:", folder: t.TempDir(), capabilities: faas.Capabilities{Why: "it needs a cluster"}}
}

// gateway is one gateway process, as far as registrations go.
type gateway struct {
	*register.Service
	id       faas.GatewayID
	site     *site
	store    *redisstore.Store
	registry register.Registry
	objects  *blob.Folder
	mortal   *mortal
	builder  *fakeBuilder
	catalog  *register.Catalog
	stop     func()
	lingers  bool // it does not leave when it is stopped, as one that is killed
}

// redis is one more client of the site's Redis.
func (s *site) redis(t *testing.T) *redisstore.Store {
	t.Helper()
	store, err := redisstore.Open(t.Context(), redisstore.Options{URL: s.url, Prefix: s.prefix, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// start runs a gateway until the test ends or stop is called. It may be mortal.
func (s *site) start(t *testing.T, dieAt int64) *gateway {
	t.Helper()
	s.next++
	g := &gateway{id: faas.GatewayID(fmt.Sprintf("gateway-%d", s.next)), site: s, builder: newFakeBuilder()}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	g.store, err = redisstore.Open(t.Context(), redisstore.Options{URL: s.url, Prefix: s.prefix, Log: log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	g.registry = onRedis{g.store}
	if g.objects, err = blob.NewFolder(s.folder, blob.FolderOptions{Secret: bytes.Repeat([]byte("s"), 32)}); err != nil {
		t.Fatal(err)
	}
	g.mortal = &mortal{Registry: g.registry, Objects: g.objects, dieAt: dieAt, dead: make(chan struct{})}
	g.catalog = register.NewCatalog(register.CatalogOptions{Registry: g.registry, Log: log, Beat: func(ctx context.Context, applied int64) error {
		if g.mortal.isDead() {
			return errKilled
		}
		return g.store.Beat(ctx, redisstore.Gateway{ID: g.id, RunnerAddr: "127.0.0.1:1", Applied: applied})
	}})
	g.Service = register.New(register.Options{
		Gateway: g.id, Registry: g.mortal, Objects: g.mortal, Builder: g.builder, Catalog: g.catalog, Gateways: g.store,
		Capabilities: s.capabilities,
		Limits:       archive.Limits{PackedBytes: 1 << 20}, SpoolDir: t.TempDir(), Log: log, Now: s.now,
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
	loops.Go(func() error { return g.catalog.Run(ctx) })
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
		_ = g.objects.Close()
	})
	t.Cleanup(g.stop)
}

// fakeBuilder builds at once, or when it is let.
type fakeBuilder struct {
	mu    sync.Mutex
	fails map[faas.RevisionNumber]string
	hold  chan struct{} // not nil: builds wait until it is closed
	began []faas.RevisionRef
}

func newFakeBuilder() *fakeBuilder { return &fakeBuilder{fails: map[faas.RevisionNumber]string{}} }

func (b *fakeBuilder) Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (string, error) {
	b.mu.Lock()
	hold, why := b.hold, b.fails[rev.Number]
	b.began = append(b.began, rev.Ref())
	b.mu.Unlock()
	if source == nil {
		return rev.Spec.Image + "@sha256:1", nil
	}
	n, err := io.Copy(io.Discard, source)
	if err != nil {
		return "", err
	}
	_, _ = fmt.Fprintf(log, "read %d bytes\n", n)
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if why != "" {
		return "", faas.Errorf(faas.BuildFailed, "%s", why)
	}
	return "sha256:" + rev.SourceSum, nil
}

func (b *fakeBuilder) builds() []faas.RevisionRef {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.began)
}

// tgz makes an archive of one file.
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

// keys lists the store.
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

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}

func wantKind(t *testing.T, err error, kind faas.Kind) *faas.Error {
	t.Helper()
	var e *faas.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("error %v (%s), want kind %s", err, faas.KindOf(err), kind)
	}
	return e
}

// newEmbeddedSite is a site with the embedded Redis, for what does not depend on which one it is.
func newEmbeddedSite(t *testing.T) *site {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return newSite(t, server.URL())
}

// runService runs a service beside a gateway until the test ends.
func runService(t *testing.T, s *register.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
}
