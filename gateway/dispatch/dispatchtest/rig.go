package dispatchtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/gateway/dispatch"
	"davit/gateway/embedded"
	"davit/gateway/fleet"
	"davit/gateway/hub"
	"davit/gateway/observer"
	"davit/gateway/records"
	"davit/gateway/recovery"
	"davit/gateway/redisstore"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/faas/route"
	"davit/internal/faas/spec"
	"davit/internal/task"
	"davit/internal/testenv"
)

const (
	gateway = "gw-test"
	grace   = 2 * time.Second
	lease   = 2 * time.Second
)

// Rig is the way of a call on real parts.
type Rig struct {
	Calls    *dispatch.Dispatcher
	Fleet    *fleet.Fleet
	Recovery *recovery.Recoverer
	Records  *records.Reader
	Hub      *hub.Hub
	Store    *redisstore.Store
	Objects  blob.Store
	Observer *observer.Observer

	CallOptions     dispatch.Options // the parts were made with these
	RecordsOptions  records.Options
	RecoveryOptions recovery.Options

	Rev     *faas.Revision // live at the beginning
	Catalog *Catalog
	Trigger *faas.Trigger
	Trips   atomic.Int64 // round trips to Redis and the store, the recorder's not counted
	Skew    atomic.Int64 // added to the clock
	Runners *Runners
	Meter   *Counts
	Away    atomic.Bool // the store answers runners with 503

	t *testing.T
}

// Options change a rig.
type Options struct {
	S3      *blob.S3 // in place of a folder; uploads of more than 6 MiB go in parts of 5 MiB
	Runners *Runners // nil: as New makes them
	First   time.Duration
}

// New returns a rig of one function and one trigger, whose runners live in the test's process.
func New(t *testing.T, fs faas.FunctionSpec, trigger faas.TriggerSpec) *Rig {
	t.Helper()
	return NewOf(t, Options{}, fs, trigger)
}

// NewApart is New with runners in processes of their own, so that several run commands at once. The test's package must
// call Main from its TestMain.
func NewApart(t *testing.T, fs faas.FunctionSpec, trigger faas.TriggerSpec) *Rig {
	t.Helper()
	return NewOf(t, Options{Runners: &Runners{Apart: true}}, fs, trigger)
}

// NewOf returns a rig with those options.
func NewOf(t *testing.T, o Options, fs faas.FunctionSpec, trigger faas.TriggerSpec) *Rig {
	t.Helper()
	runners := o.Runners
	if runners == nil {
		runners = &Runners{}
	}
	if o.S3 != nil {
		runners.OnePut = 6 << 20
	}
	if o.First == 0 {
		o.First = 30 * time.Second
	}
	runners.t, runners.dir = t, t.TempDir()
	r := &Rig{t: t, Meter: &Counts{}, Runners: runners}
	trigger.Function, trigger.Methods, trigger.Path = "f", []string{http.MethodPost}, "/t"
	fs = spec.CompleteFunction(fs, faas.Defaults{})
	r.Rev = &faas.Revision{Function: "f", Number: 1, State: faas.RevisionReady, Spec: fs}
	r.Catalog = newCatalog(r.Rev)
	r.Trigger = &faas.Trigger{Name: "t", TriggerSpec: spec.CompleteTrigger(trigger, fs)}
	mux := http.NewServeMux()
	listener := httptest.NewServer(mux)
	t.Cleanup(listener.Close)
	runners.addr = listener.Listener.Addr().String()
	signer := r.openObjects(o.S3, listener.URL, mux)
	r.Store = openRedis(t, runners.dir)
	r.build(signer, o.First)
	mux.Handle("/", r.Hub.Handler())
	mux.Handle(task.PathParts, r.Hub.MultipartHandler(r.Records))
	runners.exited = r.Observer.Exited
	r.run()
	return r
}

// openObjects opens a folder, or S3, and mounts the folder for runners.
func (r *Rig) openObjects(s3 *blob.S3, url string, mux *http.ServeMux) blob.Signer {
	folder, err := blob.NewFolder(filepath.Join(r.Runners.dir, "store"), blob.FolderOptions{
		Secret: bytes.Repeat([]byte("s"), 32), RunnerBase: func() string { return url + "/store" }, PublicBase: func() string { return url },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = folder.Close() })
	mux.Handle(task.PathStore, http.StripPrefix("/store", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.Away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		folder.RunnerHandler().ServeHTTP(w, req)
	})))
	if s3 != nil {
		r.Objects = countedStore{s3, &r.Trips}
		return s3
	}
	r.Objects = countedStore{folder, &r.Trips}
	return folder
}

func (r *Rig) now() time.Time { return time.Now().Add(time.Duration(r.Skew.Load())) }

// build puts the parts together as a gateway does.
func (r *Rig) build(signer blob.Signer, first time.Duration) {
	log := slog.New(slog.DiscardHandler)
	r.Hub = hub.New(hub.Options{Gateway: gateway, Verify: func(_ faas.RevisionRef, token string) bool { return token == "token" }, Log: log})
	r.Fleet = fleet.New(fleet.Options{
		Gateway: gateway, Runners: r.Hub, Drainer: r.Hub, Claimer: r.Hub, Launcher: r.Runners, Ender: r.Runners, Catalog: r.Catalog,
		Capacity: r.Store, Leader: r.Store, Meter: r.Meter, Grace: grace, First: first, Log: log, Now: r.now,
	})
	r.CallOptions = dispatch.Options{
		Gateway: gateway, Slots: r.Hub, Running: r.Hub, Acks: r.Hub, Launcher: r.Runners, Fleet: r.Fleet, Catalog: r.Catalog,
		Records: r.Store, Queue: countedQueue{r.Store, &r.Trips}, Leases: r.Store, Permits: countedPermits{r.Store, &r.Trips}, Publisher: r.Store,
		Objects: r.Objects, Signer: signer, Meter: r.Meter, CallMeter: r.Meter, Log: log, Now: r.now,
		Limits: dispatch.Limits{MaxLog: faas.MiB, MaxResult: faas.GiB, Grace: grace, Lease: lease, Drain: time.Second},
	}
	r.Calls = dispatch.New(r.CallOptions)
	uploads, _ := signer.(blob.UploadSweeper)
	r.RecoveryOptions = recovery.Options{
		Gateway: gateway, Calls: r.Calls, Losses: r.Calls, Retakes: r.Calls, Handover: r.Calls, Hub: r.Hub, Records: r.Store, Launcher: r.Runners,
		Uploads: uploads, Grace: grace, Lease: lease, Log: log, Now: r.now,
	}
	r.Recovery = recovery.New(r.RecoveryOptions)
	r.RecordsOptions = records.Options{
		Calls: r.Calls, Remote: r.Recovery, Archive: r.Store, Logs: r.Hub, Objects: r.Objects, Signer: signer,
		StoreError: r.Meter.StoreError, Grace: grace, PartBytes: 5 * faas.MiB, Log: log, Now: r.now,
	}
	r.Records = records.New(r.RecordsOptions)
	r.Observer = &observer.Observer{
		Launcher: r.Runners, Fleet: r.Fleet, Exits: r.Fleet, Calls: r.Calls, Recovery: r.Recovery, Runners: r.Hub, Log: log,
	}
}

func openRedis(t *testing.T, dir string) *redisstore.Store {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	store, err := redisstore.Open(t.Context(), redisstore.Options{URL: server.URL(), Endpoints: route.Endpoints})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// run starts what runs beside calls, and ends it with the test.
func (r *Rig) run() {
	hubLife, endHub := context.WithCancel(context.Background())
	life, stop := context.WithCancel(context.Background())
	var hubs, parts sync.WaitGroup
	hubs.Go(func() { _ = r.Hub.Run(hubLife, r.Observer) })
	for name, run := range map[string]func(context.Context) error{
		"fleet": r.Fleet.Run, "calls": r.Calls.Run, "recovery": r.Recovery.Run, "records": r.Records.Run,
	} {
		parts.Go(func() {
			if err := run(life); err != nil {
				r.t.Errorf("run %s: %v", name, err)
			}
		})
	}
	r.t.Cleanup(func() {
		r.Drain(context.Background())
		r.Runners.stopAll()
		stop()
		parts.Wait()
		endHub()
		hubs.Wait()
	})
}

// Request is a call with a small body.
func (r *Rig) Request(body string) *faas.Call {
	req := &faas.Call{Match: faas.Match{Trigger: r.Trigger}, Method: http.MethodPost, Path: "/t"}
	if body != "" {
		req.Body, req.Size, req.ContentType = strings.NewReader(body), int64(len(body)), "text/plain"
	}
	return req
}

// Call runs a call.
func (r *Rig) Call(ctx context.Context, request *faas.Call) (*faas.Reply, error) {
	return r.Calls.Call(ctx, request)
}

// Drain stops the fleet and the calls as a gateway does that stops.
func (r *Rig) Drain(ctx context.Context) {
	r.Fleet.Stop()
	r.Calls.Drain(ctx)
}

// Final waits for an invocation's end.
func (r *Rig) Final(id faas.InvocationID) *faas.Invocation {
	r.t.Helper()
	inv, err := r.Records.Find(r.t.Context(), id, time.Minute)
	if err != nil {
		r.t.Fatal(err)
	}
	if !inv.State.Final() {
		r.t.Fatalf("invocation %s is still %s", id, inv.State)
	}
	return inv
}

// Slots counts the slots of a revision.
func (r *Rig) Slots(rev *faas.Revision, start faas.Start) faas.SlotCounts {
	return r.Fleet.Slots(rev.Ref())[start]
}

// Revision is another revision of the rig's function, which tells its number.
func (r *Rig) Revision(n faas.RevisionNumber, change func(*faas.FunctionSpec)) *faas.Revision {
	fs := Warm()
	fs.Warm.Min = 0
	fs.Env = map[string]string{"NUMBER": strconv.Itoa(int(n))}
	if change != nil {
		change(&fs)
	}
	return &faas.Revision{Function: "f", Number: n, State: faas.RevisionReady, Spec: spec.CompleteFunction(fs, faas.Defaults{})}
}

// Gone waits until no runner of the revision runs.
func (r *Rig) Gone(rev *faas.Revision) {
	r.t.Helper()
	testenv.Eventually(r.t, "no runner of "+rev.Ref().String()+" runs", func() bool {
		return r.Runners.Running(rev.Ref(), faas.StartWarm)+r.Runners.Running(rev.Ref(), faas.StartStandby) == 0
	})
}

// GoesIdle is Gone, for runners that go as time passes.
func (r *Rig) GoesIdle(rev *faas.Revision) {
	r.t.Helper()
	testenv.Eventually(r.t, "the runners of "+rev.Ref().String()+" are gone", func() bool {
		r.Skew.Add(int64(5 * time.Second))
		return r.Runners.Running(rev.Ref(), faas.StartWarm) == 0
	})
}

// Sh is a trigger whose command is a shell script.
func Sh(script string) faas.TriggerSpec {
	return faas.TriggerSpec{Command: faas.Command{"sh", "-c", script}}
}

// Warm is a function with one warm runner of one slot.
func Warm() faas.FunctionSpec {
	return faas.FunctionSpec{Mode: faas.ModeWarm, Warm: &faas.Warm{Min: 1, Max: 1, Concurrency: 1, Idle: faas.Duration(time.Minute)}}
}

// Read reads a reply's body to its end.
func Read(t *testing.T, r *faas.Reply) string {
	t.Helper()
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ReasonOf returns what an error says of its invocation.
func ReasonOf(t *testing.T, err error) (faas.Kind, faas.Reason, faas.InvocationID) {
	t.Helper()
	var e *faas.Error
	if !errors.As(err, &e) || e.Invocation == nil || e.Invocation.Reason == nil {
		t.Fatalf("error without an invocation's reason: %v", err)
	}
	return e.Kind, *e.Invocation.Reason, e.Invocation.ID
}

// NewID returns a fresh invocation id.
func NewID(t *testing.T) faas.InvocationID {
	t.Helper()
	id, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Log is a log that goroutines share.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
