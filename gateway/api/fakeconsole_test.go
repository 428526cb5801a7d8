package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"davit/gateway/register"
	"davit/gateway/register/form"
	"davit/internal/faas"
	"davit/internal/faas/spec"
)

// fakeRegistry registers in memory.
type fakeRegistry struct {
	mu        sync.Mutex
	functions map[faas.FunctionName]*faas.Function
	revisions map[faas.RevisionRef]*faas.Revision
	triggers  map[faas.TriggerName]*faas.Trigger
	sources   map[faas.RevisionRef]string
	form      *form.Form
	file      string
	end       faas.RevisionState // of builds
	limit     int
	cursor    string
	events    chan Change
	log       string
}

func newFakeRegistry() *fakeRegistry {
	return &fakeRegistry{
		functions: map[faas.FunctionName]*faas.Function{}, revisions: map[faas.RevisionRef]*faas.Revision{},
		triggers: map[faas.TriggerName]*faas.Trigger{}, sources: map[faas.RevisionRef]string{}, end: faas.RevisionReady, events: make(chan Change, 8),
		log: "building\ndone\n",
	}
}

func (f *fakeRegistry) FindFunction(_ context.Context, name faas.FunctionName) (*faas.Function, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fn := f.functions[name]; fn != nil {
		own := *fn
		return &own, nil
	}
	return nil, faas.Errorf(faas.NotFound, "no function %q", name)
}

func (f *fakeRegistry) FindRevision(_ context.Context, ref faas.RevisionRef) (*faas.Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rev := f.revisions[ref]; rev != nil {
		own := *rev
		return &own, nil
	}
	return nil, faas.Errorf(faas.NotFound, "no revision %s", ref)
}

func (f *fakeRegistry) ListFunctions(_ context.Context, limit int, cursor string) ([]*faas.Function, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit, f.cursor = limit, cursor
	var items []*faas.Function
	for _, fn := range f.functions {
		items = append(items, fn)
	}
	slices.SortFunc(items, func(a, b *faas.Function) int { return strings.Compare(string(a.Name), string(b.Name)) })
	if len(items) > limit {
		return items[:limit], "next", nil
	}
	return items, "", nil
}

func (f *fakeRegistry) ListRevisions(ctx context.Context, name faas.FunctionName, _ int, _ string) ([]*faas.Revision, string, error) {
	fn, err := f.FindFunction(ctx, name)
	if err != nil {
		return nil, "", err
	}
	var items []*faas.Revision
	for n := fn.Latest; n > 0; n-- {
		items = append(items, f.revisions[faas.RevisionRef{Function: name, Number: n}])
	}
	return items, "", nil
}

func (f *fakeRegistry) FindTrigger(_ context.Context, name faas.TriggerName) (*faas.Trigger, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.triggers[name]; t != nil {
		return t, nil
	}
	return nil, faas.Errorf(faas.NotFound, "no trigger %q", name)
}

func (f *fakeRegistry) ListTriggers(context.Context, int, string) ([]*faas.Trigger, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var items []*faas.Trigger
	for _, t := range f.triggers {
		items = append(items, t)
	}
	return items, "", nil
}

func (f *fakeRegistry) put(name faas.FunctionName, spec faas.FunctionSpec, source string) *register.Registered {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn := f.functions[name]
	created := fn == nil
	if created {
		fn = &faas.Function{Name: name, CreatedAt: testTime()}
		f.functions[name] = fn
	}
	fn.Latest++
	fn.UpdatedAt = testTime()
	rev := &faas.Revision{Function: name, Number: fn.Latest, State: faas.RevisionBuilding, Spec: spec, CreatedAt: testTime()}
	f.revisions[rev.Ref()] = rev
	f.sources[rev.Ref()] = source
	own := *rev
	return &register.Registered{Revision: &own, Created: created}
}

func (f *fakeRegistry) PutSource(_ context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*register.Registered, error) {
	b, err := io.ReadAll(source)
	if err != nil {
		return nil, err
	}
	return f.put(name, spec, string(b)), nil
}

func (f *fakeRegistry) PutImage(_ context.Context, name faas.FunctionName, spec faas.FunctionSpec) (*register.Registered, error) {
	if spec.Image == "" {
		return nil, &faas.Error{Kind: faas.NotAllowed, Detail: "no image", Fields: []faas.FieldError{{Pointer: "/image", Detail: "is missing"}}}
	}
	return f.put(name, spec, ""), nil
}

func (f *fakeRegistry) WaitReady(ctx context.Context, ref faas.RevisionRef, most time.Duration) (*faas.Revision, error) {
	rev, err := f.FindRevision(ctx, ref)
	if err != nil || most < time.Second {
		return rev, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	rev = f.revisions[ref]
	rev.State = f.end
	if f.end == faas.RevisionReady {
		now := testTime()
		rev.Image, rev.ReadyAt = "sha256:abc", &now
		f.functions[ref.Function].Live = ref.Number
	}
	if f.end == faas.RevisionFailed {
		rev.Detail = "exit status 1"
	}
	own := *rev
	return &own, nil
}

func (f *fakeRegistry) DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) error {
	if _, err := f.FindFunction(ctx, name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.triggers) > 0 && !withTriggers {
		return faas.Errorf(faas.Conflict, "it has triggers")
	}
	delete(f.functions, name)
	return nil
}

func (f *fakeRegistry) Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error {
	rev, err := f.FindRevision(ctx, faas.RevisionRef{Function: name, Number: number})
	if err != nil {
		return err
	}
	if rev.State != faas.RevisionReady {
		return faas.Errorf(faas.Conflict, "it is not ready")
	}
	f.functions[name].Live = number
	return nil
}

func (f *fakeRegistry) BuildLog(ctx context.Context, ref faas.RevisionRef, _ bool) (io.ReadCloser, error) {
	if _, err := f.FindRevision(ctx, ref); err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader(f.log)), nil
}

func (f *fakeRegistry) PutTrigger(_ context.Context, name faas.TriggerName, given faas.TriggerSpec) (*faas.Trigger, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.functions[given.Function] == nil {
		return nil, false, &faas.Error{Kind: faas.NotAllowed, Detail: "no such function", Fields: []faas.FieldError{{Pointer: "/function", Detail: "is not registered"}}}
	}
	t := &faas.Trigger{Name: name, TriggerSpec: spec.CompleteTrigger(given, faas.FunctionSpec{}), CreatedAt: testTime(), UpdatedAt: testTime()}
	_, there := f.triggers[name]
	f.triggers[name] = t
	return t, !there, nil
}

func (f *fakeRegistry) DeleteTrigger(ctx context.Context, name faas.TriggerName) error {
	_, err := f.FindTrigger(ctx, name)
	delete(f.triggers, name)
	return err
}

func (f *fakeRegistry) RegisterForm(ctx context.Context, posted *form.Form) (*form.Result, error) {
	f.form = posted
	if posted.File != nil {
		b, err := io.ReadAll(posted.File)
		if err != nil {
			return nil, err
		}
		f.file = string(b)
	}
	switch posted.Values["kind"][0] {
	case "files":
		return &form.Result{Function: f.put("fromform", faas.FunctionSpec{}, f.file)}, nil
	case "trigger":
		f.put("fromform", faas.FunctionSpec{}, "")
		t, created, err := f.PutTrigger(ctx, "go", faas.TriggerSpec{Function: "fromform", Methods: []string{"GET"}, Path: "/go"})
		return &form.Result{Trigger: t, Created: created}, err
	}
	return nil, &faas.Error{Kind: faas.NotAllowed, Detail: "the form has a field that is not allowed", Fields: []faas.FieldError{{Pointer: "/kind", Detail: "must be files <or> trigger"}}}
}

func (f *fakeRegistry) Subscribe() (<-chan Change, func()) { return f.events, func() {} }

type fakeProber struct{ err error }

func (p *fakeProber) Ready(context.Context) error { return p.err }

// fakeSessions keeps sessions in memory, without a bound.
type fakeSessions struct {
	now  func() time.Time
	mu   sync.Mutex
	ends map[string]time.Time
	err  error
}

func (f *fakeSessions) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeSessions) StartSession(_ context.Context, id string, ttl time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.ends[id] = f.now().Add(ttl)
	}
	return f.err
}

func (f *fakeSessions) HasSession(_ context.Context, id string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err == nil && f.now().Before(f.ends[id]), f.err
}

func (f *fakeSessions) EndSession(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		delete(f.ends, id)
	}
	return f.err
}

// consoleUnderTest is the console with its fakes.
type consoleUnderTest struct {
	*served
	console     *ConsoleServer
	sessions    *fakeSessions
	registry    *fakeRegistry
	invocations *fakeInvocations
	store       *fakeProber
	secrets     *fakeSecrets
	counted     *counted
	mu          sync.Mutex
	time        time.Time
}

func (u *consoleUnderTest) now() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.time
}

func (u *consoleUnderTest) passes(d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.time = u.time.Add(d)
}

func startConsole(t *testing.T, limits Limits) *consoleUnderTest {
	t.Helper()
	u := &consoleUnderTest{
		registry: newFakeRegistry(), invocations: newFakeInvocations(), secrets: newFakeSecrets(), store: &fakeProber{}, counted: &counted{}, time: time.Now(),
	}
	u.sessions = &fakeSessions{now: u.now, ends: map[string]time.Time{}}
	u.serve(t, limits)
	return u
}

// serve starts a console on the fakes.
func (u *consoleUnderTest) serve(t *testing.T, limits Limits) {
	t.Helper()
	log, buffer := newLog()
	r := u.registry
	u.console = NewConsole(ConsoleOptions{
		Functions: r, Triggers: r, Register: r, Change: r, SetTriggers: r, Forms: r, Secrets: u.secrets, Sessions: u.sessions, Invocations: u.invocations, Changes: r,
		Slots: func(ref faas.RevisionRef) map[faas.Start]faas.SlotCounts {
			return map[faas.Start]faas.SlotCounts{faas.StartWarm: {Runners: int(ref.Number), Free: 1, Busy: 1}}
		},
		Ready:    map[string]Prober{"redis": &fakeProber{}, "store": u.store},
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "davit_build_info 1") }),
		Requests: u.counted,
		Page: fstest.MapFS{
			"index.html": {Data: []byte("<!doctype html><title>Davit</title>" + strings.Repeat("<p>page</p>", 100))},
			"app.js":     {Data: []byte("// code")}, "style.css": {Data: []byte("p{}")}, "notes.xyz": {Data: []byte("not served")},
		},
		Info: func() Info {
			return Info{
				Version: "1", Mode: "embedded", Sandbox: "none", Parts: map[string]string{"store": "folder"},
				Limits: InForce{MaxRunners: 1, Drain: faas.Duration(90 * time.Second), MaxArchive: 100 << 20, NotEnforced: []string{"no CPU"}},
			}
		},
		Token: testToken, Secret: []byte("secret"), Hosts: []string{"Davit.example:8080"}, CallsURL: "http://0.0.0.0:8081", TempDir: t.TempDir(),
		Limits: limits, Log: log, Now: u.now,
	})
	u.served = serve(t, u.console.Server, buffer)
}

// another returns a second gateway's console on the same fakes.
func (u *consoleUnderTest) another(t *testing.T) *consoleUnderTest {
	t.Helper()
	other := &consoleUnderTest{
		registry: u.registry, invocations: u.invocations, secrets: u.secrets, store: u.store, counted: u.counted, sessions: u.sessions, time: u.now(),
	}
	other.serve(t, Limits{})
	return other
}

// signInCode returns a new code.
func (u *consoleUnderTest) signInCode() string {
	u.t.Helper()
	code, err := u.console.NewSignInCode()
	if err != nil {
		u.t.Fatal(err)
	}
	return code
}

// as sends a request with the token.
func (u *consoleUnderTest) as(method, path string, body io.Reader, header ...string) *answer {
	u.t.Helper()
	return u.do(method, path, body, append(header, "Authorization", "Bearer "+testToken)...)
}

var errAway = errors.New("connection refused to 10.0.0.7")
