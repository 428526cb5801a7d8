package dispatch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
)

func sh(script string) faas.TriggerSpec {
	return faas.TriggerSpec{Command: faas.Command{"sh", "-c", script}}
}

// warm is a function with one warm runner of one slot.
func warm() faas.FunctionSpec {
	return faas.FunctionSpec{Mode: faas.ModeWarm, Warm: &faas.Warm{Min: 1, Max: 1, Concurrency: 1, Idle: faas.Duration(time.Minute)}}
}

func read(t *testing.T, r *Reply) string {
	t.Helper()
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func reasonOf(t *testing.T, err error) (faas.Kind, faas.Reason, faas.InvocationID) {
	t.Helper()
	var e *faas.Error
	if !errors.As(err, &e) || e.Invocation == nil || e.Invocation.Reason == nil {
		t.Fatalf("error without an invocation's reason: %v", err)
	}
	return e.Kind, *e.Invocation.Reason, e.Invocation.ID
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("still not: %s", what)
		case <-tick.C:
		}
	}
}

// TestSlotThatIsFreeCostsNoTrip: a call that finds a slot makes no round trip to
// Redis or the store before the first byte of its result.
func TestSlotThatIsFreeCostsNoTrip(t *testing.T) {
	spec := sh("cat body")
	spec.Response = faas.ResponseAuto
	r := newRig(t, warm(), spec)
	reply, err := r.Call(t.Context(), r.request("warm up"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, reply)
	for i := range 20 {
		until(t, "the slot is free", func() bool { return r.Slots(r.rev.Ref())[faas.StartWarm].Free == 1 })
		before := r.trips.Load()
		reply, err := r.Call(t.Context(), r.request(fmt.Sprintf("call %d", i)))
		if err != nil {
			t.Fatal(err)
		}
		var first [1]byte
		if _, err := io.ReadFull(reply.Body, first[:]); err != nil {
			t.Fatal(err)
		}
		if trips := r.trips.Load() - before; trips != 0 {
			t.Fatalf("call %d made %d round trips before its first byte", i, trips)
		}
		if whole := string(first[:]) + read(t, reply); whole != fmt.Sprintf("call %d", i) {
			t.Fatalf("call %d was answered with %q", i, whole)
		}
	}
}

// TestOutcomes: every end is told to the caller and in the record, and settled once.
func TestOutcomes(t *testing.T) {
	cases := map[string]struct {
		script string
		spec   func(*faas.TriggerSpec)
		reason faas.Reason
		kind   faas.Kind
	}{
		"success":        {script: "echo ok"},
		"exit code":      {script: "exit 7", reason: faas.ReasonExitCode, kind: faas.FunctionFailed},
		"signal":         {script: "kill -9 $$", reason: faas.ReasonSignal, kind: faas.FunctionFailed},
		"timed out":      {script: "sleep 30", spec: func(s *faas.TriggerSpec) { s.Timeout = faas.Duration(200 * time.Millisecond) }, reason: faas.ReasonTimedOut, kind: faas.TimedOut},
		"result missing": {script: "true", spec: func(s *faas.TriggerSpec) { s.Results = []string{"*.out"} }, reason: faas.ReasonResultMissing, kind: faas.FunctionFailed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			spec := sh(c.script)
			if c.spec != nil {
				c.spec(&spec)
			}
			r := newRig(t, faas.FunctionSpec{}, spec)
			reply, err := r.Call(t.Context(), r.request("x"))
			var id faas.InvocationID
			if c.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				read(t, reply)
				id = reply.Invocation.ID
			} else {
				var kind faas.Kind
				var reason faas.Reason
				if kind, reason, id = reasonOf(t, err); kind != c.kind || reason != c.reason {
					t.Errorf("kind %s, reason %s; want %s, %s", kind, reason, c.kind, c.reason)
				}
			}
			inv := r.final(id)
			if got := inv.Reason; (got == nil) != (c.reason == "") || got != nil && *got != c.reason {
				t.Errorf("the record's reason is %v", got)
			}
			until(t, "it is settled", func() bool { return r.meter.settled.Load() == 1 && r.meter.accepted.Load() == 1 })
		})
	}
}

// TestQueueIsBounded: beyond max_queue.calls a call is refused at once, one that
// waits too long expires, and neither runs.
func TestNoCommandAnywhere(t *testing.T) {
	r := newRig(t, faas.FunctionSpec{}, faas.TriggerSpec{})
	if _, err := r.Call(t.Context(), r.request("")); faas.KindOf(err) != faas.FunctionFailed {
		t.Fatalf("got %v", err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	f := faas.FunctionSpec{MaxConcurrency: 1, MaxQueue: &faas.MaxQueue{Calls: 1, Wait: faas.Duration(500 * time.Millisecond)}}
	r := newRig(t, f, sh("sleep 2"))
	first := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.request("")); first <- err }()
	until(t, "the first runs", func() bool { return r.running() == 1 })
	second := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.request("")); second <- err }()
	until(t, "the second waits", func() bool { return r.waiting("f") == 1 })
	if _, err := r.Call(t.Context(), r.request("")); faas.KindOf(err) != faas.Limited {
		t.Errorf("a call beyond the bound: %v", err)
	}
	if kind, reason, _ := reasonOf(t, <-second); kind != faas.Unavailable || reason != faas.ReasonExpired {
		t.Errorf("a call that waited too long: %s, %s", kind, reason)
	}
	if err := <-first; err != nil {
		t.Errorf("the first call: %v", err)
	}
	until(t, "nothing waits", func() bool { return r.meter.queued.Load() == 0 && r.meter.settled.Load() == 2 })
}

// TestBudgetEnds: a call that outlives its wait is accepted, queued or running, and goes on.
func TestBudgetEnds(t *testing.T) {
	wait := faas.Duration(300 * time.Millisecond)
	spec := sh("sleep 1; cat body")
	spec.Wait = &wait
	r := newRig(t, faas.FunctionSpec{MaxConcurrency: 1}, spec)
	var wg sync.WaitGroup
	ids := make([]faas.InvocationID, 2) // one runs, one waits
	for i := range ids {
		wg.Go(func() {
			reply, err := r.Call(t.Context(), r.request(fmt.Sprintf("body %d", i)))
			if err != nil || !reply.Accepted {
				t.Errorf("call %d: %+v, %v", i, reply, err)
				return
			}
			ids[i] = reply.Invocation.ID
		})
	}
	wg.Wait()
	for i, id := range ids {
		inv := r.final(id)
		if inv.State != faas.Succeeded || inv.Result == nil || !inv.Result.Stored || inv.Input == nil || !inv.Input.Stored {
			t.Fatalf("call %d: %+v", i, inv)
		}
		o, err := r.Input(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		in, err := o.Open(t.Context(), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		_ = in.Close()
		if err != nil || string(b) != fmt.Sprintf("body %d", i) {
			t.Errorf("input of call %d is %q, %v", i, b, err)
		}
	}
}

// TestBudgetEndsWhileTheStoreIsAway: a call that cannot be promised keeps its caller, who has the result when the command has ended.
func TestBudgetEndsWhileTheStoreIsAway(t *testing.T) {
	for name, spec := range map[string]faas.FunctionSpec{"job": {}, "warm": warm()} {
		t.Run(name, func(t *testing.T) {
			wait := faas.Duration(500 * time.Millisecond)
			trigger := sh("sleep 1.5; cat body")
			trigger.Wait, trigger.Response = &wait, faas.ResponseFile
			r := newRig(t, spec, trigger)
			r.away.Store(true)
			defer r.away.Store(false)
			reply, err := r.Call(t.Context(), r.request("what was sent"))
			if err != nil || reply.Accepted {
				t.Fatalf("%+v, %v", reply, err)
			}
			if got := read(t, reply); got != "what was sent" {
				t.Errorf("its result is %q", got)
			}
		})
	}
}

// TestCancelWhileWaiting ends a call that never got a slot; a second cancel is a conflict.
func TestCancelWhileWaiting(t *testing.T) {
	r := newRig(t, faas.FunctionSpec{MaxConcurrency: 1}, sh("sleep 2"))
	first := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.request("")); first <- err }()
	until(t, "the first runs", func() bool { return r.running() == 1 })
	req := r.request("")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Cancel(t.Context(), reply.Invocation.ID); err != nil {
		t.Fatal(err)
	}
	if inv := r.final(reply.Invocation.ID); inv.State != faas.StateCancelled {
		t.Errorf("after the cancel: %+v", inv)
	}
	if _, err := r.Cancel(t.Context(), reply.Invocation.ID); faas.KindOf(err) != faas.Conflict {
		t.Errorf("a second cancel: %v", err)
	}
	if err := <-first; err != nil {
		t.Errorf("the first call: %v", err)
	}
}

// TestCancelledElsewhereBeforeItsSlot: a cancel that is in the record, but was not heard of, ends the call when a runner is to have it.
func TestCancelledElsewhereBeforeItsSlot(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := newRig(t, warm(), sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	var ids [2]faas.InvocationID // one runs, one waits
	for i := range ids {
		req := r.request("")
		req.Async = true
		reply, err := r.Call(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = reply.Invocation.ID
		until(t, "the first runs", func() bool { return r.running() == 1 })
	}
	_, err := r.Records.UpdateInvocation(t.Context(), ids[1], func(i *faas.Invocation) error {
		i.Inner.Cancelled = true
		return nil
	})
	if err == nil {
		err = os.WriteFile(gate, nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []faas.State{faas.Succeeded, faas.StateCancelled} {
		if inv := r.final(ids[i]); inv.State != want {
			t.Errorf("call %d ended as %+v, want %s", i, inv, want)
		}
	}
	if n := r.meter.released.Load(); n != 0 {
		t.Error("it was left to another gateway")
	}
}

// TestCancelledBeforeItsSlot: an accepted call that is cancelled is not offered to a runner that waits.
func TestCancelledBeforeItsSlot(t *testing.T) {
	r := newRig(t, warm(), sh("true"))
	c, err := r.open(r.request(""))
	if err != nil {
		t.Fatal(err)
	}
	var slot *hub.Slot
	until(t, "a runner waits", func() bool { slot = r.hub.TryClaim(r.want(c)); return slot != nil })
	slot.Release()
	c.committed() // somebody has seen it
	c.cancel(errCancelled)
	r.drive(t.Context(), c)
	if slot = r.hub.TryClaim(r.want(c)); slot == nil {
		t.Error("the runner was offered the call")
	} else {
		slot.Release()
	}
	if inv := r.final(c.id); inv.State != faas.StateCancelled {
		t.Errorf("it ended as %+v", inv)
	}
}

// TestBodyThatBreaks leaves nothing behind.
func TestBodyThatBreaks(t *testing.T) {
	r := newRig(t, faas.FunctionSpec{}, sh("cat body"))
	req := r.request("")
	req.Body, req.Size = io.MultiReader(strings.NewReader("part"), failing{}), -1
	if _, err := r.Call(t.Context(), req); faas.KindOf(err) != faas.Invalid {
		t.Errorf("error: %v", err)
	}
	until(t, "nothing is led", func() bool { return r.InFlight() == 0 })
	until(t, "the runner that waited for it is gone", func() bool { return r.started.Running(r.rev.Ref(), faas.StartJob) == 0 })
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// TestModes: a call may ask for more isolation than the trigger, never for less.
func TestModes(t *testing.T) {
	r := newRig(t, warm(), sh("true"))
	for _, c := range []struct {
		asked faas.Mode
		start faas.Start
		kind  faas.Kind
	}{{"", faas.StartWarm, ""}, {faas.ModeJob, faas.StartJob, ""}, {faas.ModeStandby, faas.StartJob, ""}, {"hot", "", faas.Invalid}} {
		req := r.request("")
		req.Mode = c.asked
		reply, err := r.Call(t.Context(), req)
		if c.kind != "" {
			if faas.KindOf(err) != c.kind {
				t.Errorf("mode %q: %v", c.asked, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("mode %q: %v", c.asked, err)
		}
		read(t, reply)
		if reply.Invocation.Start != c.start {
			t.Errorf("mode %q started as %s, want %s", c.asked, reply.Invocation.Start, c.start)
		}
	}
}

// TestExitOfARunnerThatWasNotNeeded: a call that has its slot does not end with a runner that was launched for it.
func TestExitOfARunnerThatWasNotNeeded(t *testing.T) {
	r := newRig(t, warm(), sh("cat body"))
	body, rest := io.Pipe()
	req := r.request("")
	req.Body, req.Size = body, -1
	answer := make(chan error, 1)
	go func() {
		reply, err := r.Call(t.Context(), req)
		if err == nil {
			_ = reply.Body.Close()
		}
		answer <- err
	}()
	if _, err := io.WriteString(rest, "first half, "); err != nil { // read only once the runner has the call
		t.Fatal(err)
	}
	for _, id := range r.led() {
		r.Exited(Exit{Runner: "another", Invocation: id, Start: faas.StartJob, Ref: r.rev.Ref(), Reason: faas.ReasonRunnerLost})
	}
	if _, err := io.WriteString(rest, "second half"); err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	if err := <-answer; err != nil {
		t.Error(err)
	}
}
