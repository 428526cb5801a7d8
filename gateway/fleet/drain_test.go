package fleet_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestSwitchUnderLoad: five revisions go live under calls, and are rolled back; each call is answered by a revision
// that was live while it was made.
func TestSwitchUnderLoad(t *testing.T) {
	t.Parallel()
	first := dispatchtest.Warm()
	first.Env = map[string]string{"NUMBER": "1"}
	r := dispatchtest.NewApart(t, first, dispatchtest.Sh(`printf "$NUMBER" > out.txt`))
	r.Trigger.Results, r.Trigger.Response = []string{"out.txt"}, faas.ResponseFile
	revisions := []*faas.Revision{r.Rev}
	for n := range faas.RevisionNumber(5) {
		revisions = append(revisions, r.Revision(n+2, func(s *faas.FunctionSpec) { s.Warm.Max = 2 }))
	}
	var live history
	live.next(r.Rev.Number)
	over := make(chan struct{})
	var callers sync.WaitGroup
	var answered atomic.Int64
	for range 3 {
		callers.Go(func() {
			for !isClosed(over) {
				from := live.at()
				reply, err := r.Call(context.Background(), r.Request(""))
				if err != nil {
					t.Errorf("call %d: %v", answered.Load(), err)
					return
				}
				if text := dispatchtest.Read(t, reply); !slices.Contains(live.since(from), text) {
					t.Errorf("revision %s answered, live were %v", text, live.since(from))
				}
				answered.Add(1)
			}
		})
	}
	switchTo := func(rev *faas.Revision) {
		done, err := r.Fleet.Ready(t.Context(), rev, &dispatchtest.Log{})
		if err != nil {
			t.Fatal(err)
		}
		live.next(rev.Number)
		r.Catalog.Set(rev)
		done()
		before := answered.Load()
		testenv.Eventually(t, "it has served calls", func() bool { return t.Failed() || answered.Load() > before+10 })
	}
	for _, rev := range revisions[1:] {
		switchTo(rev)
	}
	for _, rev := range slices.Backward(revisions[:5]) {
		switchTo(rev)
	}
	close(over)
	callers.Wait()
	for _, rev := range revisions[1:] {
		r.GoesIdle(rev)
	}
}

// history is which revisions were live, in order.
type history struct {
	mu  sync.Mutex
	all []string
}

// next notes a revision that is live from now on, or soon.
func (h *history) next(n faas.RevisionNumber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, strconv.Itoa(int(n)))
}

// at is where the one that was live surely, or the one before it, is.
func (h *history) at() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, len(h.all)-2)
}

func (h *history) since(at int) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all[at:])
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestOldRunnersGoOnceIdle: a running call ends on its revision; after that its runner goes.
func TestOldRunnersGoOnceIdle(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "go")
	r := dispatchtest.NewApart(t, dispatchtest.Warm(), dispatchtest.Sh(`until [ -e `+gate+` ]; do sleep 0.01; done`))
	ended := make(chan error, 1)
	go func() {
		reply, err := r.Call(context.Background(), r.Request(""))
		if err == nil {
			err = reply.Body.Close()
		}
		ended <- err
	}()
	testenv.Eventually(t, "it runs", func() bool { return r.Slots(r.Rev, faas.StartWarm).Busy == 1 })
	next := r.Revision(2, nil)
	done, err := r.Fleet.Ready(t.Context(), next, &dispatchtest.Log{})
	if err != nil {
		t.Fatal(err)
	}
	r.Catalog.Set(next)
	done()
	r.Skew.Add(int64(time.Hour))
	r.Fleet.ScaleAll(t.Context())
	if counts := r.Slots(r.Rev, faas.StartWarm); counts.Busy != 1 {
		t.Fatalf("of the old revision: %+v", counts)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the call on the old revision: %v", err)
	}
	testenv.Eventually(t, "it is idle", func() bool { return r.Slots(r.Rev, faas.StartWarm).Free == 1 })
	r.GoesIdle(r.Rev)
}

// TestStrays: a runner that another gateway brings up for a revision that is not live here has the time to start and to
// become live.
func TestStrays(t *testing.T) {
	t.Parallel()
	r := dispatchtest.NewApart(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
	gate := filepath.Join(t.TempDir(), "go")
	stray := r.Revision(2, func(s *faas.FunctionSpec) {
		s.Start = &faas.StartProcess{
			Command: faas.Command{"sh", "-c", `until [ -e ` + gate + ` ]; do sleep 0.01; done; touch "$DAVIT_SHARED/ready"; sleep 600`},
			Ready:   &faas.Ready{File: "ready"},
		}
	})
	if err := r.Runners.Scale(t.Context(), stray, faas.StartWarm, 1); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it has dialled in", func() bool { return r.Slots(stray, faas.StartWarm).Runners == 1 })
	r.Fleet.ScaleAll(t.Context())
	r.Skew.Add(int64(time.Hour))
	r.Fleet.ScaleAll(t.Context())
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it has parked", func() bool { return r.Slots(stray, faas.StartWarm).Free == 1 })
	r.Fleet.ScaleAll(t.Context())
	if counts := r.Slots(stray, faas.StartWarm); counts.Free != 1 {
		t.Fatalf("as soon as it had parked: %+v", counts)
	}
	r.GoesIdle(stray)
}
