package dispatch

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/faas/spec"
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
	fs := warm()
	fs.Warm.Min = 0
	fs.Env = map[string]string{"NUMBER": strconv.Itoa(int(n))}
	if change != nil {
		change(&fs)
	}
	return &faas.Revision{Function: "f", Number: n, State: faas.RevisionReady, Spec: spec.CompleteFunction(fs, faas.Defaults{})}
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
			n := r.started.launches(next.Ref())
			// A look between a runner's end and its report finds one missing.
			if n != c.started && (c.started != mostLost || n != mostLost+1) {
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

// TestEndsThatAreTold: an end that was told before a wait, and is told again, is
// not that of the runner that is waited for; nor is that of one that was there.
func TestEndsThatAreTold(t *testing.T) {
	t.Parallel()
	r := newApart(t, warm(), sh("true"))
	next := r.revision(2, nil)
	if err := r.started.Scale(t.Context(), next, faas.StartWarm, 1); err != nil {
		t.Fatal(err)
	}
	there := func() (ids []faas.RunnerID) { return slices.Collect(maps.Keys(r.runnersOf(next.Ref()))) }
	until(t, "one is there", func() bool { return len(there()) == 1 })
	end := Exit{Start: faas.StartWarm, Ref: next.Ref(), Reason: faas.ReasonStartFailed, Detail: "it broke"}
	end.Runner = "before"
	r.Exited(end)
	f := &first{ref: next.Ref(), others: r.runnersOf(next.Ref()), log: &words{}}
	var failed error
	f.cancel = func(err error) { failed = err }
	r.enterFirst(f)
	defer r.leaveFirst(f)
	for _, id := range []faas.RunnerID{"before", there()[0]} {
		end.Runner = id
		if r.Exited(end); failed != nil {
			t.Errorf("the end of %s is taken for its own: %v", id, failed)
		}
	}
	end.Runner = "new"
	if r.Exited(end); faas.KindOf(failed) != faas.BuildFailed {
		t.Errorf("the end of its own: %v", failed)
	}
}
