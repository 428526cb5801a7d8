package hub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/park"
	"davit/runner/park/parktest"
)

// runnerProcess is set in the environment of this program when it is to be a runner: the gateway's address and the file
// that its runs are written to.
const runnerProcess = "HUB_TEST_RUNNER"

// beRunner is the program of a runner process; its calls never end.
func beRunner(args string) {
	address, ledger, _ := strings.Cut(args, ",")
	f, err := os.OpenFile(ledger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	w := parktest.NewWorker(1, func(id faas.InvocationID) {
		if _, err := fmt.Fprintln(f, id); err != nil {
			panic(err)
		}
	})
	w.Gate = make(chan struct{})
	err = park.Run(context.Background(), w, park.Options{Hello: hello("r1", faas.StartWarm, 1), Token: token, Gateways: []string{address}})
	panic(fmt.Sprint("the runner ended: ", err))
}

// A runner is killed while a call is on its way to it, or runs: it is noticed at once, and the caller is told the
// truth.
func TestKilledRunner(t *testing.T) {
	for _, tt := range []struct {
		name string
		body func(kill func()) hub.Body
		want error
		ran  int
	}{
		{"before the end of the body", func(kill func()) hub.Body {
			once := sync.OnceFunc(kill)
			return hub.Body{Stream: io.MultiReader(strings.NewReader("part"), readerFunc(func(p []byte) (int, error) {
				once()
				return len(p), nil // it would go on
			})), Size: -1}
		}, hub.ErrNotRun, 0},
		{"after the end of the body", func(func()) hub.Body { return hub.Body{Small: []byte("x")} }, hub.ErrInDoubt, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateway(t, "g1")
			ledger := filepath.Join(t.TempDir(), "ledger")
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), runnerProcess+"="+g.address+","+ledger)
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			killed := make(chan struct{})
			kill := func() {
				close(killed)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
			id := newID(t)
			slot := g.claim(t, warm(id))
			invoked := make(chan error, 1)
			go func() {
				_, err := slot.Invoke(t.Context(), newTask(id), tt.body(kill), nil)
				invoked <- err
			}()
			if tt.ran > 0 {
				g.until(t, "the call runs", func() bool { return g.happened(task.EventRunning, id) })
				kill()
			}
			<-killed
			testenv.EventuallyWithin(t, 2*time.Second, "the call ends and the runner has left", func() bool {
				return len(invoked) == 1 && len(g.leftNow("r1")) == 1
			})
			if err := <-invoked; !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			runs, err := os.ReadFile(ledger)
			if err != nil || strings.Count(string(runs), string(id)) != tt.ran {
				t.Errorf("ledger %q, %v", runs, err)
			}
			if s := g.TryClaim(warm(newID(t))); s != nil {
				t.Error("a dead runner's slot was offered")
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// 1 GiB goes through a call, in and out again, and gateway and runner together take no memory to speak of.
func TestFlatMemory(t *testing.T) {
	const size = 1 << 30
	g := newGateway(t, "g1")
	w := parktest.NewWorker(1, parktest.NewLedger().Add)
	w.Drop = true
	w.Result = func(_ *task.Task, _ []byte, n int64) (task.Outcome, io.Reader) {
		return task.Outcome{}, io.LimitReader(zeros{}, n)
	}
	newRunner(t, hello("r1", faas.StartWarm, 1), w, g.address)
	id := newID(t)
	slot := g.claim(t, warm(id))
	base := heap()
	peak := &gauge{}
	a, err := slot.Invoke(t.Context(), newTask(id), hub.Body{Stream: io.TeeReader(io.LimitReader(zeros{}, size), peak), Size: size}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(peak, a.Body)
	if n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if grown := max(peak.most, base) - base; grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}

	again, err := g.Attach(t.Context(), id) // the same over the control connection
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, again.Body); n != size || err != nil {
		t.Errorf("attached: %d bytes, %v", n, err)
	}
	if grown := max(heap(), base) - base; grown > 16<<20 {
		t.Errorf("attached: the heap grew by %d bytes", grown)
	}
}

// gauge discards what is written to it, and measures the heap after every 32 MiB.
type gauge struct {
	passed, measured int64
	most             uint64
}

func (g *gauge) Write(p []byte) (int, error) {
	if g.passed += int64(len(p)); g.passed-g.measured >= 32<<20 {
		g.measured, g.most = g.passed, max(g.most, heap())
	}
	return len(p), nil
}

// heap returns the bytes that something still refers to.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
