package dispatch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestExplained: a call whose runner is out of touch ends with what the launcher knows of it.
func TestExplained(t *testing.T) {
	r := dispatchtest.New(t, faas.FunctionSpec{}, dispatchtest.Sh("true"))
	r.Runners.Explained = map[faas.RunnerID]dispatchtest.Explanation{"r-known": {Reason: faas.ReasonNodeLost, Detail: "its node does not answer"}}
	for runner, want := range map[faas.RunnerID]faas.Reason{"r-known": faas.ReasonNodeLost, "r-other": faas.ReasonRunnerLost} {
		c, err := r.Calls.Open(r.Request(""))
		if err != nil {
			t.Fatal(err)
		}
		c.Change(func(i *faas.Invocation) { i.Inner.Runner = runner })
		c.Committed()
		c.OutOfTouch(time.Now().Add(-time.Minute))
		if inv := r.Final(c.ID); inv.Reason == nil || *inv.Reason != want {
			t.Errorf("%s: %+v", runner, inv)
		}
	}
}

// TestHopeless: calls that wait for a warm runner do not wait for one that cannot come.
func TestHopeless(t *testing.T) {
	for reason, ends := range map[faas.Reason]bool{
		faas.ReasonStartFailed: true, faas.ReasonImagePull: true, faas.ReasonUnschedulable: true, faas.ReasonRunnerLost: false, faas.ReasonEvicted: false,
	} {
		r := dispatchtest.New(t, faas.FunctionSpec{Mode: faas.ModeWarm}, dispatchtest.Sh("true"))
		c, err := r.Calls.Open(r.Request(""))
		if err != nil {
			t.Fatal(err)
		}
		ref := r.Rev.Ref()
		r.Runners.Lock(func() { r.Runners.Mute = map[faas.RevisionRef]bool{ref: true} })
		type loss struct {
			reason faas.Reason
			detail string
			is     bool
		}
		claimed := make(chan loss, 1)
		go func() {
			var l loss
			l.reason, l.detail, l.is = c.Claim(t.Context())
			claimed <- l
		}()
		testenv.Eventually(t, "it waits", func() bool { return r.Calls.Waiting(ref.Function) == 1 })
		r.Observer.Exited(faas.Exit{Runner: "r-x", Start: faas.StartWarm, Ref: ref, Reason: reason, Detail: "so it is"})
		if !ends {
			c.CancelWait()
		}
		if l := <-claimed; l.is != ends || ends && (l.reason != reason || l.detail != "so it is") {
			t.Errorf("%s: %v", reason, l)
		}
		c.Drop()
	}
}

// TestHungRunnersCallerIsTold: who waits for the answer of a runner that hangs is told when it counts as lost, though
// its connection stays.
func TestHungRunnersCallerIsTold(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := dispatchtest.NewOf(t, dispatchtest.Options{Runners: &dispatchtest.Runners{Apart: true, Endless: true}}, dispatchtest.Warm(), dispatchtest.Sh("kill -STOP $PPID; until [ -e "+gate+" ]; do sleep 0.1; done"))
	defer func() {
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Error(err)
		}
	}()
	_, err := r.Call(t.Context(), r.Request(""))
	if kind, reason, _ := dispatchtest.ReasonOf(t, err); kind != faas.Unavailable || reason != faas.ReasonRunnerLost {
		t.Errorf("it was answered %v", err)
	}
	if n := r.Runners.Running(r.Rev.Ref(), faas.StartWarm); n == 0 {
		t.Error("the runner is gone")
	}
}
