package hub_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/park"
)

func TestMain(m *testing.M) {
	if args := os.Getenv(runnerProcess); args != "" {
		beRunner(args)
	}
	// net/http lingers half a second over a connection that it refused, whoever closes the server.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const token = "the revision's token"

var ref = faas.RevisionRef{Function: "thumbnail", Number: 3}

// patience is how long a test waits for what takes no time.
const patience = 20 * time.Second

// gateway is a hub on a listener, and what its observer was told.
type gateway struct {
	*hub.Hub
	id      faas.GatewayID
	address string
	stop    func()

	mu     sync.Mutex
	joined map[faas.RunnerID][]task.Hello
	left   map[faas.RunnerID][][]faas.InvocationID
	events map[faas.RunnerID][]task.Event
}

func newGateway(t testing.TB, id faas.GatewayID) *gateway {
	t.Helper()
	return gatewayWith(t, id, logTo(t, string(id)))
}

// quietGateway is one of many, that does not log.
func quietGateway(t testing.TB, id faas.GatewayID) *gateway {
	t.Helper()
	return gatewayWith(t, id, nil)
}

func gatewayWith(t testing.TB, id faas.GatewayID, log *slog.Logger) *gateway {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return gatewayOn(t, id, log, ln)
}

func gatewayOn(t testing.TB, id faas.GatewayID, log *slog.Logger, ln net.Listener) *gateway {
	t.Helper()
	g := stillGateway(id, log)
	g.serve(t, ln)
	return g
}

// stillGateway is a gateway whose hub does not run.
func stillGateway(id faas.GatewayID, log *slog.Logger) *gateway {
	g := &gateway{
		id: id, joined: map[faas.RunnerID][]task.Hello{}, left: map[faas.RunnerID][][]faas.InvocationID{},
		events: map[faas.RunnerID][]task.Event{},
	}
	g.Hub = hub.New(hub.Options{
		Gateway: id,
		Verify:  func(r faas.RevisionRef, s string) bool { return r.Function == ref.Function && s == token },
		Log:     log,
	})
	return g
}

// serve serves runners on ln until the test ends.
func (g *gateway) serve(t testing.TB, ln net.Listener) {
	g.address = ln.Addr().String()
	srv := &http.Server{Handler: g.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = srv.Serve(ln) })
	done.Go(func() { _ = g.Run(ctx, g) })
	g.stop = sync.OnceFunc(func() {
		_ = srv.Close()
		cancel()
		done.Wait()
	})
	t.Cleanup(g.stop)
}

// logTo logs to the test, while it runs and fails in the end.
func logTo(t testing.TB, who string) *slog.Logger {
	if !testing.Verbose() || os.Getenv("HUB_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", who)
}

type testWriter struct{ t testing.TB }

func (w *testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s", b)
	}
	return len(b), nil
}

func (g *gateway) Joined(h task.Hello) {
	g.told(func() { g.joined[h.Runner] = append(g.joined[h.Runner], h) })
}

func (g *gateway) Left(h task.Hello, held []faas.InvocationID) {
	g.told(func() { g.left[h.Runner] = append(g.left[h.Runner], held) })
}

func (*gateway) Parked(task.Hello) {}

func (g *gateway) Happened(r faas.RunnerID, e task.Event) {
	g.told(func() { g.events[r] = append(g.events[r], e) })
}

func (g *gateway) told(note func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	note()
}

// until waits until cond holds of what was reported to the observer; cond runs under g.mu.
func (g *gateway) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	testenv.Eventually(t, what, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return cond()
	})
}

// happened reports whether there was such an event; g.mu is held.
func (g *gateway) happened(kind task.EventKind, id faas.InvocationID) bool {
	for _, events := range g.events {
		for _, e := range events {
			if e.Kind == kind && e.Invocation == id {
				return true
			}
		}
	}
	return false
}

// runner is a park.Run that is going on.
type runner struct {
	id   faas.RunnerID
	stop func() error // tells it to stop and waits
	done chan struct{}
	err  error
}

func hello(id faas.RunnerID, start faas.Start, slots int) task.Hello {
	return task.Hello{
		Runner: id, Function: ref.Function, Revision: ref.Number, Start: start, Slots: slots, Version: "test", Sandbox: "none",
	}
}

func newRunner(t testing.TB, h task.Hello, w park.Worker, gateways ...string) *runner {
	t.Helper()
	return runWith(t, park.Options{Hello: h, Token: token, Gateways: gateways, Terms: park.Terms{Drain: 50 * time.Millisecond}}, w)
}

func runWith(t testing.TB, o park.Options, w park.Worker) *runner {
	t.Helper()
	o.Log = logTo(t, string(o.Hello.Runner))
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{id: o.Hello.Runner, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = park.Run(ctx, w, o)
	}()
	r.stop = func() error {
		cancel()
		<-r.done
		return r.err
	}
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// over waits until the runner has ended by itself.
func (r *runner) over(t testing.TB) error {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		t.Fatal("the runner goes on")
	}
	return r.err
}

func newID(t testing.TB) faas.InvocationID {
	t.Helper()
	id, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newTask(id faas.InvocationID) *task.Task {
	return &task.Task{
		Record:  faas.Invocation{ID: id, Function: ref.Function, Revision: ref.Number, State: faas.Starting, Attempt: 1},
		Command: []string{"true"},
		Timeout: faas.Duration(time.Minute),
	}
}

func warm(id faas.InvocationID) hub.Want {
	return hub.Want{Ref: ref, Invocation: id, Starts: []faas.Start{faas.StartWarm}}
}

func (g *gateway) claim(t testing.TB, w hub.Want) *hub.Slot {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := g.Claim(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// invoke claims and invokes until no slot refuses.
func (g *gateway) invoke(ctx context.Context, w hub.Want, b hub.Body) (*hub.Answer, error) {
	for {
		s, err := g.Claim(ctx, w)
		if err != nil {
			return nil, err
		}
		a, err := s.Invoke(ctx, newTask(w.Invocation), b, nil)
		if !errors.Is(err, hub.ErrRefused) {
			return a, err
		}
	}
}

func readAll(t testing.TB, a *hub.Answer) string {
	t.Helper()
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
