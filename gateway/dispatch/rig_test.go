package dispatch

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/gateway/embedded"
	"davit/gateway/hub"
	"davit/gateway/redisstore"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/internal/task"
)

// rig is a dispatcher on real parts: the embedded Redis, a folder, a hub on a
// real listener, and runners in this process that run real commands.
type rig struct {
	*Dispatcher
	t       *testing.T
	rev     *faas.Revision // live at the beginning
	catalog *catalog
	trigger *faas.Trigger
	trips   atomic.Int64 // round trips to Redis and the store, the recorder's not counted
	skew    atomic.Int64 // added to the clock
	started *runners
	meter   *counts
	away    atomic.Bool // the store answers runners with 503
}

func newRig(t *testing.T, spec faas.FunctionSpec, trigger faas.TriggerSpec) *rig {
	t.Helper()
	return newRigOf(t, &runners{t: t, dir: t.TempDir()}, nil, spec, trigger)
}

// newRigOn is newRig on that S3, where uploads of more than 6 MiB go in parts of 5 MiB.
func newRigOn(t *testing.T, s3 *blob.S3, spec faas.FunctionSpec, trigger faas.TriggerSpec) *rig {
	t.Helper()
	return newRigOf(t, &runners{t: t, dir: t.TempDir(), onePut: 6 << 20}, s3, spec, trigger)
}

func newRigOf(t *testing.T, launcher *runners, s3 *blob.S3, fs faas.FunctionSpec, trigger faas.TriggerSpec) *rig {
	t.Helper()
	dir := launcher.dir
	r := &rig{t: t, meter: &counts{}, started: launcher}
	trigger.Function, trigger.Methods, trigger.Path = "f", []string{http.MethodPost}, "/t"
	fs = spec.CompleteFunction(fs, faas.Defaults{})
	r.rev = &faas.Revision{Function: "f", Number: 1, State: faas.RevisionReady, Spec: fs}
	r.catalog = newCatalog(r.rev)
	r.trigger = &faas.Trigger{Name: "t", TriggerSpec: spec.CompleteTrigger(trigger, fs)}

	mux := http.NewServeMux()
	listener := httptest.NewServer(mux)
	t.Cleanup(listener.Close)
	folder, err := blob.NewFolder(filepath.Join(dir, "store"), blob.FolderOptions{
		Secret: bytes.Repeat([]byte("s"), 32), RunnerBase: func() string { return listener.URL + "/store" }, PublicBase: func() string { return listener.URL },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	var objects blob.Store = folder
	var signer blob.Signer = folder
	if s3 != nil {
		objects, signer = s3, s3
	}
	store := openRedis(t, dir)
	log := slog.New(slog.DiscardHandler)
	r.Dispatcher = New(Options{
		Gateway: "gw-test", Records: store, Archive: store, Queue: testQueue{store, &r.trips}, Places: countedPlaces{store, &r.trips}, Gateways: store, Leader: store,
		Launcher: r.started, Catalog: r.catalog, Objects: countedStore{objects, &r.trips}, Signer: signer, Meter: r.meter,
		Logger: log, Now: func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) },
		Limits: Limits{
			MaxLog: faas.MiB, MaxResult: faas.GiB, Grace: 2 * time.Second, Lease: 2 * time.Second, Drain: time.Second,
			PartBytes: 5 * faas.MiB, First: 30 * time.Second,
		},
	})
	h := hub.New(hub.Options{Gateway: "gw-test", Verify: func(_ faas.RevisionRef, token string) bool { return token == "token" }, Observer: r.Dispatcher, Parts: r.Dispatcher, Log: log})
	r.Attach(h)
	mux.Handle("/", h.Handler())
	mux.Handle(task.PathStore, http.StripPrefix("/store", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		folder.RunnerHandler().ServeHTTP(w, req)
	})))
	r.started.addr, r.started.exited = listener.Listener.Addr().String(), r.Exited
	r.run(h)
	return r
}

func openRedis(t *testing.T, dir string) *redisstore.Store {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	store, err := redisstore.Open(t.Context(), redisstore.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// run starts what runs beside calls, and ends it with the test.
func (r *rig) run(h *hub.Hub) {
	hubLife, endHub := context.WithCancel(context.Background())
	own, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.Run(hubLife) })
	ended := make(chan error, 1)
	go func() { ended <- r.Run(own) }()
	r.t.Cleanup(func() {
		r.Drain(context.Background())
		r.started.stopAll()
		stop()
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
		endHub()
		wg.Wait()
	})
}

// request is a call with a small body.
func (r *rig) request(body string) *Request {
	req := &Request{Match: faas.Match{Trigger: r.trigger}, Method: http.MethodPost, Path: "/t"}
	if body != "" {
		req.Body, req.Size, req.ContentType = strings.NewReader(body), int64(len(body)), "text/plain"
	}
	return req
}

// led returns the invocations that the dispatcher leads.
func (r *rig) led() []faas.InvocationID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.calls))
}

// final waits for an invocation's end.
func (r *rig) final(id faas.InvocationID) *faas.Invocation {
	r.t.Helper()
	inv, err := r.Find(r.t.Context(), id, time.Minute)
	if err != nil {
		r.t.Fatal(err)
	}
	if !inv.State.Final() {
		r.t.Fatalf("invocation %s is still %s", id, inv.State)
	}
	return inv
}

// catalog is one of one function, whose live revision a test changes.
type catalog struct {
	mu    sync.Mutex
	live  *faas.Revision
	known map[faas.RevisionRef]*faas.Revision
}

func newCatalog(live *faas.Revision) *catalog {
	c := &catalog{known: map[faas.RevisionRef]*faas.Revision{}}
	c.set(live)
	return c
}

func (c *catalog) set(live *faas.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = live
	c.known[live.Ref()] = live
}

func (c *catalog) Live(faas.FunctionName) (*faas.Revision, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live, nil
}

func (c *catalog) LiveRevisions() []*faas.Revision {
	live, _ := c.Live("")
	return []*faas.Revision{live}
}

func (c *catalog) Revision(_ context.Context, ref faas.RevisionRef) (*faas.Revision, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rev := c.known[ref]; rev != nil {
		return rev, nil
	}
	return nil, faas.Errorf(faas.NotFound, "there is no revision %s", ref)
}

type counts struct{ accepted, settled, released, queued atomic.Int64 }

func (c *counts) Accepted(*faas.Invocation) { c.accepted.Add(1) }
func (c *counts) Adopted()                  {}
func (c *counts) Settled(*faas.Invocation)  { c.settled.Add(1) }
func (c *counts) Released()                 { c.released.Add(1) }
func (c *counts) Queued(delta int)          { c.queued.Add(int64(delta)) }
func (c *counts) StoreError(string)         {}

func (c *counts) ColdStart(faas.Start)               {}
func (c *counts) Refilled(faas.Start, time.Duration) {}

// testQueue is the durable queue of the real store, counted.
type testQueue struct {
	*redisstore.Store
	trips *atomic.Int64
}

func (q testQueue) Enqueue(ctx context.Context, inv *faas.Invocation, until time.Time) error {
	q.trips.Add(1)
	return q.Store.Enqueue(ctx, inv, until)
}

func (q testQueue) Bind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error {
	q.trips.Add(1)
	return q.Store.Bind(ctx, id, attempt, runner)
}

type countedPlaces struct {
	Places
	trips *atomic.Int64
}

func (p countedPlaces) AcquirePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, most, all int, until time.Time) (bool, error) {
	p.trips.Add(1)
	return p.Places.AcquirePlace(ctx, fn, id, most, all, until)
}

type countedStore struct {
	blob.Store
	trips *atomic.Int64
}

func (s countedStore) Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error) {
	s.trips.Add(1)
	return s.Store.Put(ctx, key, r, size, o)
}

func (s countedStore) Get(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, blob.Info, error) {
	s.trips.Add(1)
	return s.Store.Get(ctx, key, offset, length)
}

func (s countedStore) Stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	s.trips.Add(1)
	return s.Store.Stat(ctx, key)
}
