package recovery_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/recovery"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// TestEndedElsewhere: when another gateway has made a call's record final, its caller here is told that end, and the
// call counts as final there.
func TestEndedElsewhere(t *testing.T) {
	r := dispatchtest.New(t, faas.FunctionSpec{MaxConcurrency: 1}, dispatchtest.Sh("sleep 2"))
	first := make(chan error, 1)
	go func() { _, err := r.Call(t.Context(), r.Request("")); first <- err }()
	testenv.Eventually(t, "the first runs", func() bool { return r.Slots(r.Rev, faas.StartJob).Busy == 1 })
	before, _, err := r.Records.List(t.Context(), faas.InvocationFilter{})
	if err != nil {
		t.Fatal(err)
	}
	req := r.Request("")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	id := reply.Invocation.ID
	for _, running := range before { // not yet
		r.Recovery.EndedElsewhere(running.ID)
	}
	end := reply.Invocation.Clone()
	end.End(faas.ReasonRunnerLost, "its gateway seemed dead", time.Now().UTC())
	if _, applied, err := r.Store.Settle(t.Context(), end); err != nil || !applied {
		t.Fatalf("settled %v, %v", applied, err)
	}
	r.Recovery.EndedElsewhere(id)
	testenv.Eventually(t, "it is not led here any more", func() bool { return !r.Calls.Leads(id) })
	if inv := r.Final(id); inv.Reason == nil || *inv.Reason != faas.ReasonRunnerLost {
		t.Errorf("the record is %+v", inv)
	}
	if n := r.Meter.NReleased.Load(); n != 1 {
		t.Errorf("%d were released", n)
	}
	if err := <-first; err != nil {
		t.Errorf("the other call: %v", err)
	}
	testenv.Eventually(t, "the other call is settled", func() bool { return r.Meter.NSettled.Load() == 1 })
}

// TestHeldButNotGiven: an invocation that its runner knows only the id of is being given to it by another gateway, and
// is left to that one.
func TestHeldButNotGiven(t *testing.T) {
	r := dispatchtest.New(t, faas.FunctionSpec{}, dispatchtest.Sh("true"))
	led := faas.Invocation{ID: dispatchtest.NewID(t), Function: "f", Revision: 1, State: faas.Running, Inner: &faas.Inner{Gateway: "gw-alive"}}
	orphan := faas.Invocation{ID: dispatchtest.NewID(t), Function: "f", Revision: 1, State: faas.Running, Inner: &faas.Inner{Gateway: "gw-dead"}}
	bare := faas.Invocation{ID: dispatchtest.NewID(t), State: faas.Running}
	r.Observer.Joined(task.Hello{Runner: "r", Function: "f", Revision: 1, Owned: []task.Owned{{Record: led}, {Record: orphan}, {Record: bare}}})
	r.Recovery.Age(time.Minute)
	r.Recovery.AdoptRemotes(t.Context(), []faas.GatewayID{"gw-alive", "gw-test"})
	for id, adopted := range map[faas.InvocationID]bool{led.ID: false, orphan.ID: true, bare.ID: false} {
		if r.Calls.Leads(id) != adopted {
			t.Errorf("%s is led here: %v, want %v", id, !adopted, adopted)
		}
	}
}

// TestCallsOfOthersAreForgotten: of what another gateway leads, only what a runner still holds is remembered.
func TestCallsOfOthersAreForgotten(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	req := r.Request("x")
	req.Async = true
	reply, err := r.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	held := reply.Invocation.ID
	testenv.Eventually(t, "a runner holds it", func() bool { _, is := r.Hub.Owner(held); return is })
	over, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []faas.InvocationID{held, over} {
		r.Recovery.Owned("runner", &task.Owned{Record: faas.Invocation{ID: id, Inner: &faas.Inner{Gateway: "gw-other"}}, Ended: true, Outcome: &task.Outcome{}})
	}
	r.Skew.Store(int64(2 * recovery.SettleSlack))
	r.Recovery.AdoptRemotes(t.Context(), []faas.GatewayID{"gw-test", "gw-other"})
	if !r.Recovery.IsKnown(held) || r.Recovery.IsKnown(over) {
		t.Errorf("the owned invocation is known: %v, the other one: %v", r.Recovery.IsKnown(held), r.Recovery.IsKnown(over))
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
