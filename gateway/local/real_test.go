package local

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

const runnerVariable = "DAVIT_TEST_RUNNER"

// buildRunner builds the real program for all tests, and sets runnerVariable to its path.
func buildRunner() (remove func(), err error) {
	dir, err := os.MkdirTemp("", "davit-local-runner-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "davit-runner")
	out, err := exec.Command("go", "build", "-o", path, "davit/cmd/davit-runner").CombinedOutput()
	if err != nil {
		return nil, errors.Join(errors.New(string(out)), os.RemoveAll(dir))
	}
	return func() { _ = os.RemoveAll(dir) }, os.Setenv(runnerVariable, path)
}

func realRunner() string { return os.Getenv(runnerVariable) }

// discardEvents is an observer of the hub that ignores all events.
type discardEvents struct{}

func (discardEvents) Joined(task.Hello)                    {}
func (discardEvents) Left(task.Hello, []faas.InvocationID) {}
func (discardEvents) Parked(task.Hello)                    {}
func (discardEvents) Happened(faas.RunnerID, task.Event)   {}

// serveHub serves a hub at an address, until stop is called or the test ends.
func serveHub(t *testing.T, addr string) (h *hub.Hub, at string, stop func()) {
	t.Helper()
	h = hub.New(hub.Options{
		Gateway: "gw",
		Verify:  func(ref faas.RevisionRef, token string) bool { return token == "token of "+ref.String() },
	})
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h.Handler(), ReadHeaderTimeout: time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(ln) })
	wg.Go(func() { _ = h.Run(ctx, discardEvents{}) })
	stop = sync.OnceFunc(func() {
		_ = server.Close()
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return h, ln.Addr().String(), stop
}

func TestRealRunnersParkAndEnd(t *testing.T) {
	h, addr, _ := serveHub(t, "127.0.0.1:0")
	b := newBenchOf(t, openDir(t), realRunner(), addr)
	rev := revision("")
	rev.Spec.Start = &faas.StartProcess{Command: faas.Command{"/bin/sh", "-c", "echo started >$DAVIT_SHARED/ready; sleep 1000"}, Ready: &faas.Ready{File: "ready"}}
	if err := errors.Join(b.Launch(t.Context(), rev, "0192d000-0000-7000-8000-000000000001"), b.Scale(t.Context(), rev, faas.StartWarm, 2)); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(b.t, "three runners are free", func() bool {
		s := h.Slots(rev.Ref())
		return s[faas.StartJob].Free == 1 && s[faas.StartWarm].Free == 2
	})
	for _, r := range h.Runners() {
		if !regexp.MustCompile(`^landlock v\d+$`).MatchString(r.Hello.Sandbox) {
			t.Errorf("runner %s reached %q", r.Hello.Runner, r.Hello.Sandbox)
		}
		b.Joined(r.Hello.Runner)
	}
	if err := b.Stop(t.Context(), "0192d000-0000-7000-8000-000000000001"); err != nil {
		t.Fatal(err)
	}
	if e := b.exit(0); e.Reason != "" || e.Start != faas.StartJob {
		t.Fatalf("exit %+v", e)
	}
	b.stop()
	for i := range 3 {
		if e := b.exit(i); e.Reason != "" {
			t.Errorf("exit %+v", e)
		}
	}
}

func TestRealRunnerWhoseStartProcessFails(t *testing.T) {
	_, addr, _ := serveHub(t, "127.0.0.1:0")
	b := newBenchOf(t, openDir(t), realRunner(), addr)
	rev := revision("")
	rev.Spec.Start = &faas.StartProcess{Command: faas.Command{"/bin/sh", "-c", "echo no such port >&2; exit 7"}}
	if err := b.Scale(t.Context(), rev, faas.StartWarm, 1); err != nil {
		t.Fatal(err)
	}
	if e := b.exit(0); e.Reason != faas.ReasonStartFailed || !strings.Contains(e.Detail, "exit status 3: ") {
		t.Fatalf("exit %+v", e)
	}
}

// A runner goes on when its gateway is killed, though it logs its broken connections and no process reads its standard
// error.
func TestRealRunnersOutliveTheirGateway(t *testing.T) {
	h, addr, stopHub := serveHub(t, "127.0.0.1:0")
	dir := openDir(t)
	killedGateway(t, dir, realRunner(), addr)
	ref := faas.RevisionRef{Function: "f", Number: 1}
	all := func(h *hub.Hub) bool {
		s := h.Slots(ref)
		return s[faas.StartJob].Free == 1 && s[faas.StartWarm].Free == 2
	}
	testenv.Eventually(t, "the runners are in", func() bool { return all(h) })
	stopHub()
	h, _, _ = serveHub(t, addr)
	testenv.Eventually(t, "the runners are back", func() bool { return all(h) })
	b := newBenchOf(t, dir, realRunner(), addr)
	if warm, jobs := b.Running(ref, faas.StartWarm), b.Running(ref, faas.StartJob); warm != 2 || jobs != 1 {
		t.Fatalf("%d warm runners and %d jobs are counted", warm, jobs)
	}
}
