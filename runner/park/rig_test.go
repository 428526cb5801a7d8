package park_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/park"
	"davit/runner/park/parktest"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second over a connection that it refused, whoever closes the server.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const (
	token    = "the revision's token"
	patience = 20 * time.Second
	nowhere  = "127.0.0.1:1"
)

func ref() faas.RevisionRef { return faas.RevisionRef{Function: "thumbnail", Number: 3} }

// gateway is a hub on a listener that notes what it is told.
type gateway struct {
	*hub.Hub
	address string
	stop    func()
	parts   parter

	mu     sync.Mutex
	hellos []task.Hello
	left   int
	events []task.Event
}

func newGateway(t *testing.T, id faas.GatewayID, address string) *gateway {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newGatewayOn(t, id, ln)
}

func newGatewayOn(t *testing.T, id faas.GatewayID, ln net.Listener) *gateway {
	t.Helper()
	g := &gateway{parts: parter{name: string(id)}}
	g.Hub = hub.New(hub.Options{
		Gateway: id, Verify: func(r faas.RevisionRef, s string) bool { return r == ref() && s == token },
	})
	g.address = ln.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", g.Handler())
	mux.Handle(task.PathParts, g.MultipartHandler(&g.parts))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = srv.Serve(ln) })
	group.Go(func() { _ = g.Run(ctx, g) })
	g.stop = sync.OnceFunc(func() {
		_ = srv.Close()
		cancel()
		group.Wait()
	})
	t.Cleanup(g.stop)
	return g
}

func (g *gateway) Joined(h task.Hello) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hellos = append(g.hellos, h)
}

func (*gateway) Parked(task.Hello) {}

func (g *gateway) Left(task.Hello, []faas.InvocationID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left++
}

func (g *gateway) Happened(_ faas.RunnerID, e task.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

func (g *gateway) joined() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.hellos)
}

func (g *gateway) happened(kind task.EventKind) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.events, func(e task.Event) bool { return e.Kind == kind })
}

func (g *gateway) claim(t *testing.T, start faas.Start, id faas.InvocationID) *hub.Slot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := g.Claim(ctx, hub.Want{Ref: ref(), Invocation: id, Starts: []faas.Start{start}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call invokes on a runner that must take it.
func (g *gateway) call(t *testing.T, start faas.Start, id faas.InvocationID) *hub.Answer {
	t.Helper()
	a, err := g.claim(t, start, id).Invoke(t.Context(), newTask(id), hub.Body{Small: []byte("input")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func read(t *testing.T, a *hub.Answer) {
	t.Helper()
	b, err := io.ReadAll(a.Body)
	if err != nil || string(b) != "input" {
		t.Errorf("body %q, %v", b, err)
	}
}

func newID(t *testing.T) faas.InvocationID {
	t.Helper()
	id, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newTask(id faas.InvocationID) *task.Task {
	return &task.Task{Record: faas.Invocation{ID: id, Function: ref().Function, Revision: ref().Number, Attempt: 1}}
}

func newWorker(slots int) *parktest.Worker {
	return parktest.NewWorker(slots, func(faas.InvocationID) {})
}

func hello(start faas.Start, slots int) task.Hello {
	return task.Hello{Runner: "r1", Function: ref().Function, Revision: ref().Number, Start: start, Slots: slots, Version: "test"}
}

// runner is a Run that goes on.
type runner struct {
	stop context.CancelFunc
	done chan struct{}
	err  error
}

func start(t *testing.T, w park.Worker, o park.Options) *runner {
	t.Helper()
	if o.Token == "" {
		o.Token = token
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = park.Run(ctx, w, o)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// over waits for the runner's own end.
func (r *runner) over(t *testing.T) error {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		t.Fatal("the runner goes on")
	}
	return r.err
}

func (r *runner) goesOn() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}
