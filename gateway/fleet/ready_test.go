package fleet_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/fleet"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestReady: a revision's first runner is brought up and stays until it is let go, and beyond where it is live by then.
func TestReady(t *testing.T) {
	t.Parallel()
	r := dispatchtest.NewApart(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
	for _, live := range []bool{false, true} {
		next := r.Revision(2, nil)
		var log dispatchtest.Log
		done, err := r.Fleet.Ready(t.Context(), next, &log)
		if err != nil {
			t.Fatal(err)
		}
		if free := r.Slots(next, faas.StartWarm).Free; free != 1 {
			t.Fatalf("%d slots are free", free)
		}
		if said := log.String(); !strings.HasPrefix(said, "starting the first runner\nthe first runner is ready after ") {
			t.Errorf("the log says %q", said)
		}
		r.Skew.Add(int64(time.Hour))
		r.Fleet.ScaleAll(t.Context())
		if free := r.Slots(next, faas.StartWarm).Free; free != 1 {
			t.Fatalf("%d slots are free while it is kept", free)
		}
		if live {
			r.Catalog.Set(next)
		}
		done()
		if !live {
			r.Gone(next)
			continue
		}
		reply, err := r.Call(t.Context(), r.Request(""))
		if err != nil {
			t.Fatal(err)
		}
		dispatchtest.Read(t, reply)
		if n := r.Runners.Launches(next.Ref()); n != 2 { // one each time
			t.Errorf("%d runners were started", n)
		}
	}
}

// TestReadyByMode: only functions that keep runners have a first one.
func TestReadyByMode(t *testing.T) {
	t.Parallel()
	r := dispatchtest.NewApart(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
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
		next := r.Revision(faas.RevisionNumber(n+2), c.spec)
		done, err := r.Fleet.Ready(t.Context(), next, &dispatchtest.Log{})
		if err != nil {
			t.Fatal(err)
		}
		if free := r.Slots(next, c.start).Free; free != c.most || r.Runners.Launches(next.Ref()) != c.most {
			t.Errorf("%+v: %d %s slots are free of %d runners", next.Spec, free, c.start, r.Runners.Launches(next.Ref()))
		}
		done()
		r.Gone(next)
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
		launch  func(l *dispatchtest.Runners, ref faas.RevisionRef)
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
			launch: func(l *dispatchtest.Runners, ref faas.RevisionRef) { l.Crashes = map[faas.RevisionRef]bool{ref: true} },
			kind:   faas.BuildFailed, says: "3 runners ended before they were ready, the last one so: it crashed", started: 3,
		},
		"never dials in": {
			launch: func(l *dispatchtest.Runners, ref faas.RevisionRef) { l.Mute = map[faas.RevisionRef]bool{ref: true} },
			kind:   faas.BuildFailed, says: "no runner was ready within 1s", started: 1,
		},
		"cannot be launched": {
			launch: func(l *dispatchtest.Runners, ref faas.RevisionRef) {
				l.Broken = map[faas.RevisionRef]error{ref: errors.New("fork: no memory")}
			},
			kind: faas.BuildFailed, says: "no runner could be started",
		},
		"cannot be launched now": {
			launch: func(l *dispatchtest.Runners, ref faas.RevisionRef) {
				l.Broken = map[faas.RevisionRef]error{ref: faas.Errorf(faas.Unavailable, "the store is away")}
			},
			kind: faas.Unavailable, says: "the store is away",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := dispatchtest.Options{Runners: &dispatchtest.Runners{Apart: true}}
			if c.started == 1 && c.spec == nil {
				o.First = time.Second
			}
			r := dispatchtest.NewOf(t, o, dispatchtest.Warm(), dispatchtest.Sh("true"))
			next := r.Revision(2, c.spec)
			if c.launch != nil {
				r.Runners.Lock(func() { c.launch(r.Runners, next.Ref()) })
			}
			_, err := r.Fleet.Ready(t.Context(), next, &dispatchtest.Log{})
			var e *faas.Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Detail, c.says) || e.LogTail != c.tail {
				t.Errorf("it failed with %v: %+v", err, e)
			}
			r.Gone(next)
			n := r.Runners.Launches(next.Ref())
			// A look between a runner's end and its report finds one missing.
			if n != c.started && (c.started != fleet.MostLost || n != fleet.MostLost+1) {
				t.Errorf("%d runners were started", n)
			}
			reply, err := r.Call(t.Context(), r.Request(""))
			if err != nil {
				t.Fatal(err)
			}
			dispatchtest.Read(t, reply)
		})
	}
}

// TestReadyIsGivenUp: by its caller, or since the gateway stops; a start process that hangs is not left.
func TestReadyIsGivenUp(t *testing.T) {
	t.Parallel()
	r := dispatchtest.NewApart(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
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
		next := r.Revision(c.number, hangs)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { _, err := r.Fleet.Ready(ctx, next, &dispatchtest.Log{}); failed <- err }()
		testenv.Eventually(t, "its runner has dialled in", func() bool { return r.Slots(next, faas.StartWarm).Runners == 1 })
		c.giveUp(cancel)
		if err := <-failed; faas.KindOf(err) != c.kind {
			t.Errorf("given up with %v", err)
		}
		cancel()
		r.Gone(next)
	}
	if _, err := r.Fleet.Ready(t.Context(), r.Revision(4, nil), &dispatchtest.Log{}); faas.KindOf(err) != faas.Unavailable {
		t.Errorf("on a gateway that is stopping: %v", err)
	}
}

// TestEndsThatAreTold: an end that was told before a wait, and is told again, is not that of the runner that is waited
// for; nor is that of one that was there.
func TestEndsThatAreTold(t *testing.T) {
	t.Parallel()
	r := dispatchtest.NewApart(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
	next := r.Revision(2, nil)
	if err := r.Runners.Scale(t.Context(), next, faas.StartWarm, 1); err != nil {
		t.Fatal(err)
	}
	there := func() (ids []faas.RunnerID) { return slices.Collect(maps.Keys(r.Fleet.RunnersOf(next.Ref()))) }
	testenv.Eventually(t, "one is there", func() bool { return len(there()) == 1 })
	end := faas.Exit{Start: faas.StartWarm, Ref: next.Ref(), Reason: faas.ReasonStartFailed, Detail: "it broke"}
	end.Runner = "before"
	r.Observer.Exited(end)
	var failed error
	defer r.Fleet.WaitFirst(next.Ref(), r.Fleet.RunnersOf(next.Ref()), &dispatchtest.Log{}, func(err error) { failed = err })()
	for _, id := range []faas.RunnerID{"before", there()[0]} {
		end.Runner = id
		if r.Observer.Exited(end); failed != nil {
			t.Errorf("the end of %s is taken for its own: %v", id, failed)
		}
	}
	end.Runner = "new"
	if r.Observer.Exited(end); faas.KindOf(failed) != faas.BuildFailed {
		t.Errorf("the end of its own: %v", failed)
	}
}
