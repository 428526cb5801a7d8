package dispatch

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"davit/internal/faas"
)

// TestExplained: a call whose runner is out of touch ends with what the launcher knows of it.
func TestExplained(t *testing.T) {
	r := newRig(t, faas.FunctionSpec{}, sh("true"))
	r.started.explained = map[faas.RunnerID]loss{"r-known": {faas.ReasonNodeLost, "its node does not answer"}}
	for runner, want := range map[faas.RunnerID]faas.Reason{"r-known": faas.ReasonNodeLost, "r-other": faas.ReasonRunnerLost} {
		c, err := r.open(r.request(""))
		if err != nil {
			t.Fatal(err)
		}
		c.change(func(i *faas.Invocation) { i.Inner.Runner = runner })
		c.committed()
		c.missed(time.Now().Add(-time.Minute))
		r.settleMissed()
		if inv := r.final(c.id); inv.Reason == nil || *inv.Reason != want {
			t.Errorf("%s: %+v", runner, inv)
		}
	}
}

// TestHopeless: calls that wait for a warm runner do not wait for one that cannot come.
func TestHopeless(t *testing.T) {
	for reason, ends := range map[faas.Reason]bool{
		faas.ReasonStartFailed: true, faas.ReasonImagePull: true, faas.ReasonUnschedulable: true, faas.ReasonRunnerLost: false, faas.ReasonEvicted: false,
	} {
		r := newRig(t, faas.FunctionSpec{Mode: faas.ModeWarm}, sh("true"))
		c, err := r.open(r.request(""))
		if err != nil {
			t.Fatal(err)
		}
		ref := c.rev.Ref()
		r.started.mu.Lock()
		r.started.mute = map[faas.RevisionRef]bool{ref: true}
		r.started.mu.Unlock()
		claimed := make(chan error, 1)
		go func() {
			_, err := r.claim(t.Context(), c)
			claimed <- err
		}()
		until(t, "it waits", func() bool { return r.waiting(ref.Function) == 1 })
		r.Exited(Exit{Runner: "r-x", Start: faas.StartWarm, Ref: ref, Reason: reason, Detail: "so it is"})
		if !ends {
			c.cancel(errCancelled)
		}
		var l *loss
		if err := <-claimed; errors.As(err, &l) != ends || ends && (l.reason != reason || l.detail != "so it is") {
			t.Errorf("%s: %v", reason, err)
		}
		r.drop(c)
	}
}

// TestHungRunnersCallerIsTold: who waits for the answer of a runner that hangs is told when it counts as lost, though its
// connection stays.
func TestHungRunnersCallerIsTold(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := newRigOf(t, &runners{t: t, dir: t.TempDir(), apart: true, endless: true}, nil, warm(), sh("kill -STOP $PPID; until [ -e "+gate+" ]; do sleep 0.1; done"))
	defer func() {
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Error(err)
		}
	}()
	_, err := r.Call(t.Context(), r.request(""))
	if kind, reason, _ := reasonOf(t, err); kind != faas.Unavailable || reason != faas.ReasonRunnerLost {
		t.Errorf("it was answered %v", err)
	}
	if n := r.started.Running(r.rev.Ref(), faas.StartWarm); n == 0 {
		t.Error("the runner is gone")
	}
}
