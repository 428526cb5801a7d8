package dispatch_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// TestWhatIsNotKeptIsForgotten: a call that leaves nothing in the store is done with once it is settled.
func TestWhatIsNotKeptIsForgotten(t *testing.T) {
	for _, keep := range []faas.Keep{faas.KeepNone, faas.KeepFailed} {
		t.Run(string(keep), func(t *testing.T) {
			r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
			r.Trigger.Keep = keep
			reply, err := r.Call(t.Context(), r.Request("x"))
			if err != nil {
				t.Fatal(err)
			}
			dispatchtest.Read(t, reply)
			testenv.Eventually(t, "the call is forgotten", func() bool { return !r.Calls.Leads(reply.Invocation.ID) })
			var e *faas.Error
			if _, _, _, err := r.Records.Result(t.Context(), reply.Invocation.ID); !errors.As(err, &e) || e.Kind != faas.Gone {
				t.Errorf("its result: %v", err)
			}
			if inv := r.Final(reply.Invocation.ID); inv.State != faas.Succeeded {
				t.Errorf("%+v", inv)
			}
		})
	}
}

// TestForgottenCallHasNoLife: what is forgotten is held by nothing that lives as long as the gateway.
func TestForgottenCallHasNoLife(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	req := r.Request("x")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Calls.FindCall(reply.Invocation.ID)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the call is forgotten", func() bool { return !r.Calls.Leads(reply.Invocation.ID) })
	testenv.Eventually(t, "its contexts have ended", c.IsOver)
}

// TestJobsWaitForTheStore: a job's place is free again when what it left is stored, so that callers who outrun the
// store do not fill the machine with runners.
func TestJobsWaitForTheStore(t *testing.T) {
	r := dispatchtest.New(t, faas.FunctionSpec{Mode: faas.ModeJob, MaxConcurrency: 1}, dispatchtest.Sh("true"))
	r.Away.Store(true)
	first, err := r.Call(t.Context(), r.Request("x"))
	if err != nil {
		t.Fatal(err)
	}
	dispatchtest.Read(t, first)
	second := make(chan error, 1)
	go func() {
		reply, err := r.Call(t.Context(), r.Request("x"))
		if err == nil {
			_ = reply.Body.Close()
		}
		second <- err
	}()
	asked := r.Trips.Load()
	testenv.Eventually(t, "the second call asks for a place again and again", func() bool { return r.Trips.Load() > asked+3 })
	select {
	case err := <-second:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	if n := r.Runners.Running(r.Rev.Ref(), faas.StartJob); n != 1 {
		t.Errorf("%d runners", n)
	}
	r.Away.Store(false)
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// TestRunnerLostAfterItsAnswer: what a caller was told stands, though no event told it too.
func TestRunnerLostAfterItsAnswer(t *testing.T) {
	for promised, want := range map[bool]faas.State{false: faas.Succeeded, true: faas.Failed} {
		r := dispatchtest.New(t, faas.FunctionSpec{}, dispatchtest.Sh("true"))
		c, err := r.Calls.Open(r.Request(""))
		if err != nil {
			t.Fatal(err)
		}
		c.Committed()
		c.Change(func(i *faas.Invocation) { i.Inner.Accepted = promised })
		code := 0
		c.Answered(&task.Outcome{ExitCode: &code, EndedAt: time.Now().UTC()})
		c.Resolve(t.Context(), faas.ReasonRunnerLost, "killed")
		if inv := r.Final(c.ID); inv.State != want {
			t.Errorf("promised %v: %+v", promised, inv)
		}
		testenv.Eventually(t, "it is settled", func() bool { return r.Meter.NSettled.Load() == 1 })
	}
}
