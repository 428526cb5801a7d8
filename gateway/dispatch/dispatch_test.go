package dispatch_test

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

	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestSlotThatIsFreeCostsNoTrip: a call that finds a slot makes no round trip to Redis or the store before the first
// byte of its result.
func TestSlotThatIsFreeCostsNoTrip(t *testing.T) {
	spec := dispatchtest.Sh("cat body")
	spec.Response = faas.ResponseAuto
	r := dispatchtest.New(t, dispatchtest.Warm(), spec)
	reply, err := r.Call(t.Context(), r.Request("warm up"))
	if err != nil {
		t.Fatal(err)
	}
	dispatchtest.Read(t, reply)
	for i := range 20 {
		testenv.Eventually(t, "the slot is free", func() bool { return r.Slots(r.Rev, faas.StartWarm).Free == 1 })
		before := r.Trips.Load()
		reply, err := r.Call(t.Context(), r.Request(fmt.Sprintf("call %d", i)))
		if err != nil {
			t.Fatal(err)
		}
		var first [1]byte
		if _, err := io.ReadFull(reply.Body, first[:]); err != nil {
			t.Fatal(err)
		}
		if trips := r.Trips.Load() - before; trips != 0 {
			t.Fatalf("call %d made %d round trips before its first byte", i, trips)
		}
		if whole := string(first[:]) + dispatchtest.Read(t, reply); whole != fmt.Sprintf("call %d", i) {
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
			spec := dispatchtest.Sh(c.script)
			if c.spec != nil {
				c.spec(&spec)
			}
			r := dispatchtest.New(t, faas.FunctionSpec{}, spec)
			reply, err := r.Call(t.Context(), r.Request("x"))
			var id faas.InvocationID
			if c.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				dispatchtest.Read(t, reply)
				id = reply.Invocation.ID
			} else {
				var kind faas.Kind
				var reason faas.Reason
				if kind, reason, id = dispatchtest.ReasonOf(t, err); kind != c.kind || reason != c.reason {
					t.Errorf("kind %s, reason %s; want %s, %s", kind, reason, c.kind, c.reason)
				}
			}
			inv := r.Final(id)
			if got := inv.Reason; (got == nil) != (c.reason == "") || got != nil && *got != c.reason {
				t.Errorf("the record's reason is %v", got)
			}
			testenv.Eventually(t, "it is settled", func() bool { return r.Meter.NSettled.Load() == 1 && r.Meter.NAccepted.Load() == 1 })
		})
	}
}

// TestNoCommandAnywhere: a call that has nothing to run is refused.
func TestNoCommandAnywhere(t *testing.T) {
	r := dispatchtest.New(t, faas.FunctionSpec{}, faas.TriggerSpec{})
	if _, err := r.Call(t.Context(), r.Request("")); faas.KindOf(err) != faas.FunctionFailed {
		t.Fatalf("got %v", err)
	}
}

// TestQueueIsBounded: beyond max_queue.calls a call is refused at once, a call that waits too long expires, and neither
// runs.
func TestQueueIsBounded(t *testing.T) {
	f := faas.FunctionSpec{MaxConcurrency: 1, MaxQueue: &faas.MaxQueue{Calls: 1, Wait: faas.Duration(500 * time.Millisecond)}}
	r := dispatchtest.New(t, f, dispatchtest.Sh("sleep 2"))
	first := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.Request("")); first <- err }()
	testenv.Eventually(t, "the first runs", func() bool { return r.Calls.Running() == 1 })
	second := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.Request("")); second <- err }()
	testenv.Eventually(t, "the second waits", func() bool { return r.Calls.Waiting("f") == 1 })
	if _, err := r.Call(t.Context(), r.Request("")); faas.KindOf(err) != faas.Limited {
		t.Errorf("a call beyond the bound: %v", err)
	}
	if kind, reason, _ := dispatchtest.ReasonOf(t, <-second); kind != faas.Unavailable || reason != faas.ReasonExpired {
		t.Errorf("a call that waited too long: %s, %s", kind, reason)
	}
	if err := <-first; err != nil {
		t.Errorf("the first call: %v", err)
	}
	testenv.Eventually(t, "nothing waits", func() bool { return r.Meter.NQueued.Load() == 0 && r.Meter.NSettled.Load() == 2 })
}

// TestBudgetEnds: a call that outlives its wait is accepted, queued or running, and goes on.
func TestBudgetEnds(t *testing.T) {
	wait := faas.Duration(300 * time.Millisecond)
	spec := dispatchtest.Sh("sleep 1; cat body")
	spec.Wait = &wait
	r := dispatchtest.New(t, faas.FunctionSpec{MaxConcurrency: 1}, spec)
	var wg sync.WaitGroup
	ids := make([]faas.InvocationID, 2) // one runs, one waits
	for i := range ids {
		wg.Go(func() {
			reply, err := r.Call(t.Context(), r.Request(fmt.Sprintf("body %d", i)))
			if err != nil || !reply.Accepted {
				t.Errorf("call %d: %+v, %v", i, reply, err)
				return
			}
			ids[i] = reply.Invocation.ID
		})
	}
	wg.Wait()
	for i, id := range ids {
		inv := r.Final(id)
		if inv.State != faas.Succeeded || inv.Result == nil || !inv.Result.Stored || inv.Input == nil || !inv.Input.Stored {
			t.Fatalf("call %d: %+v", i, inv)
		}
		_, in, err := r.Records.Input(t.Context(), id)
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

// TestBudgetEndsWhileTheStoreIsAway: a call that cannot be promised keeps its caller, who has the result when the
// command has ended.
func TestBudgetEndsWhileTheStoreIsAway(t *testing.T) {
	for name, spec := range map[string]faas.FunctionSpec{"job": {}, "warm": dispatchtest.Warm()} {
		t.Run(name, func(t *testing.T) {
			wait := faas.Duration(500 * time.Millisecond)
			trigger := dispatchtest.Sh("sleep 1.5; cat body")
			trigger.Wait, trigger.Response = &wait, faas.ResponseFile
			r := dispatchtest.New(t, spec, trigger)
			r.Away.Store(true)
			defer r.Away.Store(false)
			reply, err := r.Call(t.Context(), r.Request("what was sent"))
			if err != nil || reply.Accepted {
				t.Fatalf("%+v, %v", reply, err)
			}
			if got := dispatchtest.Read(t, reply); got != "what was sent" {
				t.Errorf("its result is %q", got)
			}
		})
	}
}

// TestCancelWhileWaiting ends a call that never got a slot; a second cancel is a conflict.
func TestCancelWhileWaiting(t *testing.T) {
	r := dispatchtest.New(t, faas.FunctionSpec{MaxConcurrency: 1}, dispatchtest.Sh("sleep 2"))
	first := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.Request("")); first <- err }()
	testenv.Eventually(t, "the first runs", func() bool { return r.Calls.Running() == 1 })
	req := r.Request("")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Calls.Cancel(t.Context(), reply.Invocation.ID); err != nil {
		t.Fatal(err)
	}
	if inv := r.Final(reply.Invocation.ID); inv.State != faas.StateCancelled {
		t.Errorf("after the cancel: %+v", inv)
	}
	if _, err := r.Calls.Cancel(t.Context(), reply.Invocation.ID); faas.KindOf(err) != faas.Conflict {
		t.Errorf("a second cancel: %v", err)
	}
	if err := <-first; err != nil {
		t.Errorf("the first call: %v", err)
	}
}

// TestCancelledElsewhereBeforeItsSlot: a cancel that is in the record, but was not heard of, ends the call when a
// runner is to have it.
func TestCancelledElsewhereBeforeItsSlot(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	var ids [2]faas.InvocationID // one runs, one waits
	for i := range ids {
		req := r.Request("")
		req.Async = true
		reply, err := r.Call(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = reply.Invocation.ID
		testenv.Eventually(t, "the first runs", func() bool { return r.Calls.Running() == 1 })
	}
	_, err := r.Store.UpdateInvocation(t.Context(), ids[1], func(i *faas.Invocation) error {
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
		if inv := r.Final(ids[i]); inv.State != want {
			t.Errorf("call %d ended as %+v, want %s", i, inv, want)
		}
	}
	if n := r.Meter.NReleased.Load(); n != 0 {
		t.Error("it was left to another gateway")
	}
}

// TestCancelledBeforeItsSlot: an accepted call that is cancelled is not offered to a runner that waits.
func TestCancelledBeforeItsSlot(t *testing.T) {
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
	c, err := r.Calls.Open(r.Request(""))
	if err != nil {
		t.Fatal(err)
	}
	var slot *hub.Slot
	testenv.Eventually(t, "a runner waits", func() bool { slot = r.Hub.TryClaim(c.Want()); return slot != nil })
	slot.Release()
	c.Committed() // somebody has seen it
	c.CancelWait()
	c.Start(t.Context())
	if slot = r.Hub.TryClaim(c.Want()); slot == nil {
		t.Error("the runner was offered the call")
	} else {
		slot.Release()
	}
	if inv := r.Final(c.ID); inv.State != faas.StateCancelled {
		t.Errorf("it ended as %+v", inv)
	}
}

// TestBodyThatBreaks leaves nothing behind.
func TestBodyThatBreaks(t *testing.T) {
	r := dispatchtest.New(t, faas.FunctionSpec{}, dispatchtest.Sh("cat body"))
	req := r.Request("")
	req.Body, req.Size = io.MultiReader(strings.NewReader("part"), failing{}), -1
	if _, err := r.Call(t.Context(), req); faas.KindOf(err) != faas.Invalid {
		t.Errorf("error: %v", err)
	}
	testenv.Eventually(t, "nothing is led", func() bool { return len(r.Calls.Led()) == 0 })
	testenv.Eventually(t, "the runner that waited for it is gone", func() bool { return r.Runners.Running(r.Rev.Ref(), faas.StartJob) == 0 })
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// TestModes: a call may ask for more isolation than the trigger, never for less.
func TestModes(t *testing.T) {
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
	for _, c := range []struct {
		asked faas.Mode
		start faas.Start
		kind  faas.Kind
	}{{"", faas.StartWarm, ""}, {faas.ModeJob, faas.StartJob, ""}, {faas.ModeStandby, faas.StartJob, ""}, {"hot", "", faas.Invalid}} {
		req := r.Request("")
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
		dispatchtest.Read(t, reply)
		if reply.Invocation.Start != c.start {
			t.Errorf("mode %q started as %s, want %s", c.asked, reply.Invocation.Start, c.start)
		}
	}
}

// TestExitOfARunnerThatWasNotNeeded: a call that has its slot does not end with a runner that was launched for it.
func TestExitOfARunnerThatWasNotNeeded(t *testing.T) {
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("cat body"))
	body, rest := io.Pipe()
	req := r.Request("")
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
	for _, id := range r.Calls.Led() {
		r.Observer.Exited(faas.Exit{Runner: "another", Invocation: id, Start: faas.StartJob, Ref: r.Rev.Ref(), Reason: faas.ReasonRunnerLost})
	}
	if _, err := io.WriteString(rest, "second half"); err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	if err := <-answer; err != nil {
		t.Error(err)
	}
}
