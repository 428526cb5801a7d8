package dispatch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/gateway/faas"
)

// words is a log that goroutines share.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// revision is another revision of the rig's function, which tells its number.
func (r *rig) revision(n faas.RevisionNumber, change func(*faas.FunctionSpec)) *faas.Revision {
	spec := warm()
	spec.Warm.Min = 0
	spec.Env = map[string]string{"NUMBER": strconv.Itoa(int(n))}
	if change != nil {
		change(&spec)
	}
	return &faas.Revision{Function: "f", Number: n, State: faas.RevisionReady, Spec: spec.Complete(faas.Defaults{})}
}

// gone waits until no runner of the revision runs.
func (r *rig) gone(rev *faas.Revision) {
	r.t.Helper()
	until(r.t, "no runner of "+rev.Ref().String()+" runs", func() bool {
		return r.started.Running(rev.Ref(), faas.StartWarm)+r.started.Running(rev.Ref(), faas.StartStandby) == 0
	})
}

// goesIdle is gone, for runners that go as time passes.
func (r *rig) goesIdle(rev *faas.Revision) {
	r.t.Helper()
	until(r.t, "the runners of "+rev.Ref().String()+" are gone", func() bool {
		r.skew.Add(int64(strayFor))
		return r.started.Running(rev.Ref(), faas.StartWarm) == 0
	})
}

// TestReady: a revision's first runner is brought up and stays until it is let go, and beyond where it is live by then.
func TestReady(t *testing.T) {
	t.Parallel()
	r := newApart(t, warm(), sh("true"))
	for _, live := range []bool{false, true} {
		next := r.revision(2, nil)
		var log words
		done, err := r.Ready(t.Context(), next, &log)
		if err != nil {
			t.Fatal(err)
		}
		if free := r.Slots(next.Ref())[faas.StartWarm].Free; free != 1 {
			t.Fatalf("%d slots are free", free)
		}
		if said := log.String(); !strings.HasPrefix(said, "starting the first runner\nthe first runner is ready after ") {
			t.Errorf("the log says %q", said)
		}
		r.skew.Add(int64(time.Hour))
		r.scaler.all(t.Context())
		if free := r.Slots(next.Ref())[faas.StartWarm].Free; free != 1 {
			t.Fatalf("%d slots are free while it is kept", free)
		}
		if live {
			r.catalog.set(next)
		}
		done()
		if !live {
			r.gone(next)
			continue
		}
		reply, err := r.Call(t.Context(), r.request(""))
		if err != nil {
			t.Fatal(err)
		}
		read(t, reply)
		if n := r.started.launches(next.Ref()); n != 2 { // one each time
			t.Errorf("%d runners were started", n)
		}
	}
}

// TestReadyByMode: only functions that keep runners have a first one.
func TestReadyByMode(t *testing.T) {
	t.Parallel()
	r := newApart(t, warm(), sh("true"))
	for n, c := range []struct {
		spec  func(*faas.FunctionSpec)
		start faas.Start
		most  int
	}{
		{func(s *faas.FunctionSpec) { s.Mode = faas.ModeJob }, faas.StartJob, 0},
		{func(s *faas.FunctionSpec) { s.Mode, s.Standby = faas.ModeJob, &faas.Standby{Max: 2} }, faas.StartStandby, 0},
		{func(s *faas.FunctionSpec) { s.Mode, s.Standby = faas.ModeJob, &faas.Standby{Min: 1, Max: 2} }, faas.StartStandby, 1},
		{func(s *faas.FunctionSpec) { s.Standby = &faas.Standby{Min: 1, Max: 2} }, faas.StartWarm, 1},
	} {
		next := r.revision(faas.RevisionNumber(n+2), c.spec)
		done, err := r.Ready(t.Context(), next, &words{})
		if err != nil {
			t.Fatal(err)
		}
		if free := r.Slots(next.Ref())[c.start].Free; free != c.most || r.started.launches(next.Ref()) != c.most {
			t.Errorf("%+v: %d %s slots are free of %d runners", next.Spec, free, c.start, r.started.launches(next.Ref()))
		}
		done()
		r.gone(next)
	}
}

// TestNotReady: it says why, and nothing is left.
func TestNotReady(t *testing.T) {
	t.Parallel()
	broken := func(script string) func(*faas.FunctionSpec) {
		return func(s *faas.FunctionSpec) {
			s.Timeout = faas.Duration(300 * time.Millisecond)
			s.Start = &faas.StartProcess{Command: faas.Command{"sh", "-c", script}, Ready: &faas.Ready{File: "ready"}}
		}
	}
	for name, c := range map[string]struct {
		spec    func(*faas.FunctionSpec)
		launch  func(l *runners, ref faas.RevisionRef)
		kind    faas.Kind
		says    string
		tail    string
		started int
	}{
		"start fails": {
			spec: broken("echo no such model >&2; exit 7"), kind: faas.BuildFailed,
			says: "start process failed: it ended with exit code 7; correct start.command", tail: "no such model\n", started: 1,
		},
		"start hangs": {
			spec: broken("trap '' TERM; echo asleep; sleep 600"), kind: faas.BuildFailed,
			says: "it was not ready within 300ms", tail: "asleep\n", started: 1,
		},
		"crashes": {
			launch: func(l *runners, ref faas.RevisionRef) { l.crashes = map[faas.RevisionRef]bool{ref: true} },
			kind:   faas.BuildFailed, says: "3 runners ended before they were ready, the last one so: it crashed", started: 3,
		},
		"never dials in": {
			launch: func(l *runners, ref faas.RevisionRef) { l.mute = map[faas.RevisionRef]bool{ref: true} },
			kind:   faas.BuildFailed, says: "no runner was ready within 1s", started: 1,
		},
		"cannot be launched": {
			launch: func(l *runners, ref faas.RevisionRef) {
				l.broken = map[faas.RevisionRef]error{ref: errors.New("fork: no memory")}
			},
			kind: faas.BuildFailed, says: "no runner could be started",
		},
		"cannot be launched now": {
			launch: func(l *runners, ref faas.RevisionRef) {
				l.broken = map[faas.RevisionRef]error{ref: faas.Errorf(faas.Unavailable, "the store is away")}
			},
			kind: faas.Unavailable, says: "the store is away",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newApart(t, warm(), sh("true"))
			next := r.revision(2, c.spec)
			if c.launch != nil {
				r.started.mu.Lock()
				c.launch(r.started, next.Ref())
				r.started.mu.Unlock()
			}
			if c.started == 1 && c.spec == nil {
				r.Limits.First = time.Second
			}
			_, err := r.Ready(t.Context(), next, &words{})
			var e *faas.Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Detail, c.says) || e.LogTail != c.tail {
				t.Errorf("it failed with %v: %+v", err, e)
			}
			r.gone(next)
			if n := r.started.launches(next.Ref()); n != c.started {
				t.Errorf("%d runners were started", n)
			}
			reply, err := r.Call(t.Context(), r.request(""))
			if err != nil {
				t.Fatal(err)
			}
			read(t, reply)
		})
	}
}

// TestReadyIsGivenUp: by its caller, or since the gateway stops; a start process that hangs is not left.
func TestReadyIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newApart(t, warm(), sh("true"))
	hangs := func(s *faas.FunctionSpec) {
		s.Start = &faas.StartProcess{Command: faas.Command{"sleep", "600"}, Ready: &faas.Ready{File: "ready"}}
	}
	for _, c := range []struct {
		number faas.RevisionNumber
		giveUp func(cancel func())
		kind   faas.Kind
	}{
		{2, func(cancel func()) { cancel() }, faas.Internal},
		{3, func(func()) { r.Drain(t.Context()) }, faas.Unavailable},
	} {
		next := r.revision(c.number, hangs)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { _, err := r.Ready(ctx, next, &words{}); failed <- err }()
		until(t, "its runner has dialled in", func() bool { return r.Slots(next.Ref())[faas.StartWarm].Runners == 1 })
		c.giveUp(cancel)
		if err := <-failed; faas.KindOf(err) != c.kind {
			t.Errorf("given up with %v", err)
		}
		cancel()
		r.gone(next)
	}
	if _, err := r.Ready(t.Context(), r.revision(4, nil), &words{}); faas.KindOf(err) != faas.Unavailable {
		t.Errorf("on a gateway that is stopping: %v", err)
	}
}

// TestSwitchUnderLoad: five revisions go live under calls, and are rolled back;
// each call is answered by a revision that was live while it was made.
func TestSwitchUnderLoad(t *testing.T) {
	t.Parallel()
	first := warm()
	first.Env = map[string]string{"NUMBER": "1"}
	r := newApart(t, first, sh(`printf "$NUMBER" > out.txt`))
	r.trigger.Results, r.trigger.Response = []string{"out.txt"}, faas.ResponseFile
	revisions := []*faas.Revision{r.rev}
	for n := range faas.RevisionNumber(5) {
		revisions = append(revisions, r.revision(n+2, func(s *faas.FunctionSpec) { s.Warm.Max = 2 }))
	}
	var live history
	live.next(r.rev.Number)
	over := make(chan struct{})
	var callers sync.WaitGroup
	var answered atomic.Int64
	for range 3 {
		callers.Go(func() {
			for !isClosed(over) {
				from := live.at()
				reply, err := r.Call(context.Background(), r.request(""))
				if err != nil {
					t.Errorf("call %d: %v", answered.Load(), err)
					return
				}
				if text := read(t, reply); !slices.Contains(live.since(from), text) {
					t.Errorf("revision %s answered, live were %v", text, live.since(from))
				}
				answered.Add(1)
			}
		})
	}
	switchTo := func(rev *faas.Revision) {
		done, err := r.Ready(t.Context(), rev, &words{})
		if err != nil {
			t.Fatal(err)
		}
		live.next(rev.Number)
		r.catalog.set(rev)
		done()
		before := answered.Load()
		until(t, "it has served calls", func() bool { return t.Failed() || answered.Load() > before+10 })
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
		r.goesIdle(rev)
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
	r := newApart(t, warm(), sh(`until [ -e `+gate+` ]; do sleep 0.01; done`))
	ended := make(chan error, 1)
	go func() {
		reply, err := r.Call(context.Background(), r.request(""))
		if err == nil {
			err = reply.Body.Close()
		}
		ended <- err
	}()
	until(t, "it runs", func() bool { return r.running() == 1 })
	next := r.revision(2, nil)
	done, err := r.Ready(t.Context(), next, &words{})
	if err != nil {
		t.Fatal(err)
	}
	r.catalog.set(next)
	done()
	r.skew.Add(int64(time.Hour))
	r.scaler.all(t.Context())
	if counts := r.Slots(r.rev.Ref())[faas.StartWarm]; counts.Busy != 1 {
		t.Fatalf("of the old revision: %+v", counts)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the call on the old revision: %v", err)
	}
	until(t, "it is idle", func() bool { return r.Slots(r.rev.Ref())[faas.StartWarm].Free == 1 })
	r.goesIdle(r.rev)
}

// TestStrays: a runner that another gateway brings up for a revision that is not
// live here has the time to start and to become live.
func TestStrays(t *testing.T) {
	t.Parallel()
	r := newApart(t, warm(), sh("true"))
	gate := filepath.Join(t.TempDir(), "go")
	stray := r.revision(2, func(s *faas.FunctionSpec) {
		s.Start = &faas.StartProcess{
			Command: faas.Command{"sh", "-c", `until [ -e ` + gate + ` ]; do sleep 0.01; done; touch "$DAVIT_SHARED/ready"; sleep 600`},
			Ready:   &faas.Ready{File: "ready"},
		}
	})
	if err := r.started.Scale(t.Context(), stray, faas.StartWarm, 1); err != nil {
		t.Fatal(err)
	}
	until(t, "it has dialled in", func() bool { return r.Slots(stray.Ref())[faas.StartWarm].Runners == 1 })
	r.scaler.all(t.Context())
	r.skew.Add(int64(time.Hour))
	r.scaler.all(t.Context())
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "it has parked", func() bool { return r.Slots(stray.Ref())[faas.StartWarm].Free == 1 })
	r.scaler.all(t.Context())
	if counts := r.Slots(stray.Ref())[faas.StartWarm]; counts.Free != 1 {
		t.Fatalf("as soon as it had parked: %+v", counts)
	}
	r.goesIdle(stray)
}
