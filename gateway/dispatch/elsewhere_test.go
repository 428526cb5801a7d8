package dispatch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// TestEndedElsewhere: when another gateway has made a call's record final, its
// caller here is told that end, and the call counts as final there.
func TestEndedElsewhere(t *testing.T) {
	r := newRig(t, faas.FunctionSpec{MaxConcurrency: 1}, sh("sleep 2"))
	first := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.request("")); first <- err }()
	until(t, "the first runs", func() bool { return r.running() == 1 })
	before := r.led()
	req := r.request("")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	id := reply.Invocation.ID
	for _, ended := range before { // not yet
		r.EndHeard(ended)
	}
	end := reply.Invocation.Clone()
	end.End(faas.ReasonRunnerLost, "its gateway seemed dead", time.Now().UTC())
	if _, applied, err := r.Records.Settle(t.Context(), end); err != nil || !applied {
		t.Fatalf("settled %v, %v", applied, err)
	}
	r.EndHeard(id)
	until(t, "it is not led here any more", func() bool { return r.find(id) == nil })
	if inv := r.final(id); inv.Reason == nil || *inv.Reason != faas.ReasonRunnerLost {
		t.Errorf("the record is %+v", inv)
	}
	if n := r.meter.released.Load(); n != 1 {
		t.Errorf("%d were released", n)
	}
	if err := <-first; err != nil {
		t.Errorf("the other call: %v", err)
	}
	until(t, "the other call is settled", func() bool { return r.meter.settled.Load() == 1 })
}

// TestHeldButNotGiven: an invocation that its runner knows only the id of is being
// given to it by another gateway, and is left to that one.
func TestHeldButNotGiven(t *testing.T) {
	r := newRig(t, faas.FunctionSpec{}, sh("true"))
	led := faas.Invocation{ID: newID(t), Function: "f", Revision: 1, State: faas.Running, Inner: &faas.Inner{Gateway: "gw-alive"}}
	orphan := faas.Invocation{ID: newID(t), Function: "f", Revision: 1, State: faas.Running, Inner: &faas.Inner{Gateway: "gw-dead"}}
	bare := faas.Invocation{ID: newID(t), State: faas.Running}
	r.Joined(task.Hello{Runner: "r", Function: "f", Revision: 1, Held: []task.Held{{Record: led}, {Record: orphan}, {Record: bare}}})
	r.mu.Lock()
	for _, f := range r.foreign {
		f.since = f.since.Add(-time.Minute)
	}
	r.mu.Unlock()
	r.adoptForeign(t.Context(), []faas.GatewayID{"gw-alive", r.Gateway})
	for id, adopted := range map[faas.InvocationID]bool{led.ID: false, orphan.ID: true, bare.ID: false} {
		if (r.find(id) != nil) != adopted {
			t.Errorf("%s is led here: %v, want %v", id, !adopted, adopted)
		}
	}
}

// TestRunnerLostAfterItsAnswer: what a caller was told stands, though no event told it too.
func TestRunnerLostAfterItsAnswer(t *testing.T) {
	for promised, want := range map[bool]faas.State{false: faas.Succeeded, true: faas.Failed} {
		r := newRig(t, faas.FunctionSpec{}, sh("true"))
		c, err := r.open(r.request(""))
		if err != nil {
			t.Fatal(err)
		}
		c.committed()
		c.change(func(i *faas.Invocation) { i.Inner.Accepted = promised })
		code := 0
		c.answered(&task.Outcome{ExitCode: &code, EndedAt: time.Now().UTC()})
		r.resolve(t.Context(), c, &loss{faas.ReasonRunnerLost, "killed"})
		if inv := r.final(c.id); inv.State != want {
			t.Errorf("promised %v: %+v", promised, inv)
		}
		until(t, "it is settled", func() bool { return r.meter.settled.Load() == 1 })
	}
}

func newID(t *testing.T) faas.InvocationID {
	t.Helper()
	id, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCallsOfOthersAreForgotten: of what another gateway leads, only what a runner still holds is remembered.
func TestCallsOfOthersAreForgotten(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := newRig(t, warm(), sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	req := r.request("x")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	held := reply.Invocation.ID
	until(t, "a runner holds it", func() bool { _, is := r.hub.Owner(held); return is })
	over, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []faas.InvocationID{held, over} {
		r.meet("runner", &task.Held{Record: faas.Invocation{ID: id, Inner: &faas.Inner{Gateway: "gw-other"}}, Ended: true, Outcome: &task.Outcome{}})
	}
	r.skew.Store(int64(2 * settleSlack))
	r.adoptForeign(t.Context(), []faas.GatewayID{"gw-test", "gw-other"})
	if r.overheard(held) == nil || r.overheard(over) != nil {
		t.Errorf("what is held: %v, what is not: %v", r.overheard(held), r.overheard(over))
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
