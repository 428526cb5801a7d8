package dispatch

import (
	"errors"
	"testing"
	"time"

	"davit/gateway/faas"
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
