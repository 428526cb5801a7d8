package work

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// gate lets a store answer one upload for each thing received from it.
type gate struct {
	*store
	pass chan struct{}
	gone chan struct{}
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{store: newStore(t), pass: make(chan struct{}), gone: make(chan struct{})}
	g.setRefuse(func(*http.Request) int {
		select {
		case <-g.pass:
		case <-g.gone:
		}
		return 0
	})
	return g
}

// open lets everything pass from now on.
func (g *gate) open() { close(g.gone) }

// TestBacklogIsBounded checks that the backlog stays within its bounds while the calls end faster than the store takes
// their objects, and that all calls end.
func TestBacklogIsBounded(t *testing.T) {
	const most, slots, total = 5, 2, 40
	g := newGate(t)
	w := newWorker(t, func(l *task.Launch, o *Options) {
		l.Slots, o.Backlog = slots, Backlog{Calls: most}
	})
	var peak int
	var calls sync.WaitGroup
	waiting := make(chan string, total)
	for range total {
		waiting <- "input"
	}
	close(waiting)
	var mu sync.Mutex
	ended := 0
	for range slots {
		calls.Go(func() {
			for body := range waiting {
				d := call(t, w, newTask(t, "cat body", func(tk *task.Task) { tk.Put, tk.Keep = g.puts(), faas.KeepAll }), body)
				mu.Lock()
				ended++
				peak = max(peak, len(w.Owned()))
				mu.Unlock()
				if d.Reason != "" {
					t.Errorf("%+v", d.Outcome)
				}
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return ended }
	testenv.Eventually(t, "as many have ended as may be behind", func() bool { return count() >= most })
	for range most { // each call has two objects: the store's pace is the calls'
		before := count()
		g.pass <- struct{}{}
		g.pass <- struct{}{}
		if now := count(); now > before+slots {
			t.Errorf("%d calls ended while two objects were stored", now-before)
		}
	}
	g.open()
	calls.Wait()
	testenv.Eventually(t, "all are stored", func() bool { return len(w.Owned()) == 0 })
	if held := most + 2*slots; peak > held {
		t.Errorf("%d calls were held at a time, want at most %d", peak, held)
	}
	if got := strings.Count(g.names(), "/result"); got != total {
		t.Errorf("%d of %d results are stored", got, total)
	}
}

// TestBacklogOfBytes checks that the next call waits after one large result.
func TestBacklogOfBytes(t *testing.T) {
	g := newGate(t)
	w := newWorker(t, func(_ *task.Launch, o *Options) { o.Backlog = Backlog{Bytes: 100_000} })
	keep := func(tk *task.Task) { tk.Put, tk.Keep = g.puts(), faas.KeepAll }
	if d := call(t, w, newTask(t, "head -c 200000 /dev/urandom", keep), ""); d.Reason != "" {
		t.Fatalf("%+v", d.Outcome)
	}
	second := start(t, w, newTask(t, "touch $DAVIT_SHARED/ran", keep), "")
	if d := call(t, newWorker(t, nil), newTask(t, "true", nil), ""); d.Reason != "" { // others do not wait
		t.Fatalf("%+v", d.Outcome)
	}
	if _, err := os.Stat(w.shared + "/ran"); err == nil {
		t.Error("it ran before the first result was stored")
	}
	g.open()
	finish(t, second)
	if _, err := os.Stat(w.shared + "/ran"); err != nil {
		t.Error(err)
	}
}

// TestStoreThatStoresNothing checks that the worker refuses calls once no upload has ended for Patience, that these
// calls leave no files, and that calls that keep nothing still run.
func TestStoreThatStoresNothing(t *testing.T) {
	w := newWorker(t, func(_ *task.Launch, o *Options) { o.Backlog = Backlog{Calls: 2, Patience: 50 * time.Millisecond} })
	s := newStore(t)
	s.setRefuse(func(*http.Request) int { return http.StatusServiceUnavailable })
	shell := "echo >> $DAVIT_SHARED/ran"
	keep := func(tk *task.Task) { tk.Put, tk.Keep = s.puts(), faas.KeepAll }
	for range 2 {
		if d := call(t, w, newTask(t, shell, keep), "input"); d.Reason != "" {
			t.Fatalf("%+v", d.Outcome)
		}
	}
	for range 5 {
		d := call(t, w, newTask(t, shell, keep), strings.Repeat("input", 100_000))
		if d.Reason != faas.ReasonStoreUnavailable || !strings.Contains(d.Detail, "not started") || d.ExitCode != nil {
			t.Fatalf("%+v", d.Outcome)
		}
	}
	if ran, err := os.ReadFile(w.shared + "/ran"); err != nil || len(ran) != 2 {
		t.Errorf("%d commands ran, %v", len(ran), err)
	}
	testenv.Eventually(t, "the refused calls to be forgotten", func() bool { return len(w.Owned()) == 2 })
	if d := call(t, w, newTask(t, "true", func(tk *task.Task) { tk.Put = s.puts() }), "input"); d.Reason != "" {
		t.Errorf("a call that keeps nothing: %+v", d.Outcome)
	}
	c := start(t, w, newTask(t, shell, keep), "input")
	c.Cancel()
	if d := finish(t, c); d.Reason != faas.ReasonCancelled {
		t.Errorf("cancelled while it waits: %+v", d.Outcome)
	}
	s.setRefuse(nil)
	testenv.Eventually(t, "what was held is stored", func() bool { return len(w.Owned()) == 0 })
	if d := call(t, w, newTask(t, shell, keep), "input"); d.Reason != "" {
		t.Errorf("with the store back: %+v", d.Outcome)
	}
	if got := strings.Count(s.names(), "/result"); got < 2 {
		t.Errorf("stored %s", s.names())
	}
}

func TestBacklogWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBacklog(Backlog{Calls: 1, Patience: time.Minute})
		must(t, b.wait(t.Context()))
		done := b.add(1)
		begun := time.Now()
		if err := b.wait(t.Context()); !errors.Is(err, errBacklogFull) || time.Since(begun) != time.Minute {
			t.Fatalf("after %v: %v", time.Since(begun), err)
		}
		more := b.add(1)
		go func() { // patience begins anew with each upload that ends
			time.Sleep(50 * time.Second) //nolint:forbidigo // of a clock that does not run
			more()
			time.Sleep(50 * time.Second) //nolint:forbidigo // as above
			done()
		}()
		begun = time.Now()
		if err := b.wait(t.Context()); err != nil || time.Since(begun) != 100*time.Second {
			t.Fatalf("after %v: %v", time.Since(begun), err)
		}
		defer b.add(1)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}
