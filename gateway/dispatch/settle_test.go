package dispatch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/internal/blob"
	"davit/internal/faas"
)

// TestWhatIsNotKeptIsForgotten: a call that leaves nothing in the store is done with once it is settled.
func TestWhatIsNotKeptIsForgotten(t *testing.T) {
	for _, keep := range []faas.Keep{faas.KeepNone, faas.KeepFailed} {
		t.Run(string(keep), func(t *testing.T) {
			r := newRig(t, warm(), sh("true"))
			r.trigger.Keep = keep
			reply, err := r.Call(t.Context(), r.request("x"))
			if err != nil {
				t.Fatal(err)
			}
			read(t, reply)
			until(t, "the call is forgotten", func() bool { return r.find(reply.Invocation.ID) == nil })
			var e *faas.Error
			if _, err := r.Result(t.Context(), reply.Invocation.ID); !errors.As(err, &e) || e.Kind != faas.Gone {
				t.Errorf("its result: %v", err)
			}
			if inv := r.final(reply.Invocation.ID); inv.State != faas.Succeeded {
				t.Errorf("%+v", inv)
			}
		})
	}
}

// TestForgottenCallHasNoLife: what is forgotten is held by nothing that lives as long as the gateway.
func TestForgottenCallHasNoLife(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := newRig(t, warm(), sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	req := r.request("x")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	c := r.find(reply.Invocation.ID)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the call is forgotten", func() bool { return r.find(reply.Invocation.ID) == nil })
	until(t, "its life is over", func() bool { return c.ctx.Err() != nil })
}

// TestPartOfAnObjectIsNone: what a store took for a whole upload is not given out.
func TestPartOfAnObjectIsNone(t *testing.T) {
	r := newRig(t, warm(), sh("true"))
	reply, err := r.Call(t.Context(), r.request("input"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, reply)
	id := reply.Invocation.ID
	if _, err := r.Result(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, key := range []blob.Key{resultKey(id, 1), inputKey(id)} {
		if _, err := r.Objects.Put(t.Context(), key, strings.NewReader("inp"), 3, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	_, resultErr := r.Result(t.Context(), id)
	_, inputErr := r.Input(t.Context(), id)
	for _, err := range []error{resultErr, inputErr} {
		if faas.KindOf(err) != faas.Gone {
			t.Errorf("got %v", err)
		}
	}
}

// TestJobsWaitForTheStore: a job's place is free again when what it left is stored, so
// that callers who outrun the store do not fill the machine with runners.
func TestJobsWaitForTheStore(t *testing.T) {
	r := newRig(t, faas.FunctionSpec{Mode: faas.ModeJob, MaxConcurrency: 1}, sh("true"))
	r.away.Store(true)
	first, err := r.Call(t.Context(), r.request("x"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, first)
	second := make(chan error, 1)
	go func() {
		reply, err := r.Call(t.Context(), r.request("x"))
		if err == nil {
			_ = reply.Body.Close()
		}
		second <- err
	}()
	asked := r.trips.Load()
	until(t, "the second call asks for a place again and again", func() bool { return r.trips.Load() > asked+3 })
	select {
	case err := <-second:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	if n := r.started.Running(r.rev.Ref(), faas.StartJob); n != 1 {
		t.Errorf("%d runners", n)
	}
	r.away.Store(false)
	if err := <-second; err != nil {
		t.Error(err)
	}
}
