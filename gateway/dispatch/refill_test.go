package dispatch

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"davit/gateway/faas"
)

// TestStandbysWaitForCallsWithJobs: what a burst beyond the standbys needs comes first, the next standbys after that.
func TestStandbysWaitForCallsWithJobs(t *testing.T) {
	t.Parallel()
	r := newRig(t, faas.FunctionSpec{Standby: &faas.Standby{Min: 2, Max: 2}}, sh("true"))
	running := func() int { return r.started.Running(r.rev.Ref(), faas.StartStandby) }
	until(t, "standbys are parked", func() bool { return r.hub.Slots(r.rev.Ref())[faas.StartStandby].Free == 2 })
	done := []func(){r.scaler.cover(r.rev), r.scaler.cover(r.rev)}
	for _, runner := range r.hub.Connected(r.rev.Ref(), faas.StartStandby) {
		if err := r.hub.Drain(t.Context(), runner); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "they are gone", func() bool { return running() == 0 })
	r.scaler.one(t.Context(), r.rev)
	if n := running(); n != 0 {
		t.Errorf("%d standbys are started while 2 calls wait for their Jobs", n)
	}
	done[0]()
	until(t, "one is started for the call that has its slot", func() bool { return running() == 1 })
	done[1]()
	until(t, "both are there again", func() bool { return running() == 2 })
}

// TestStandbyIsReplacedWhileItsCallRuns: the next call need not wait for the end of this one's runner.
func TestStandbyIsReplacedWhileItsCallRuns(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := newApart(t, faas.FunctionSpec{Standby: &faas.Standby{Min: 1, Max: 1}}, sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	parked := func() int { return r.hub.Slots(r.rev.Ref())[faas.StartStandby].Free }
	until(t, "a standby is parked", func() bool { return parked() == 1 })
	answered := make(chan error, 1)
	go func() {
		reply, err := r.Call(context.Background(), r.request(""))
		if err == nil {
			err = reply.Body.Close()
		}
		answered <- err
	}()
	until(t, "another is parked beside the one that works", func() bool {
		return parked() == 1 && r.started.Running(r.rev.Ref(), faas.StartStandby) == 2
	})
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	until(t, "one is left", func() bool { return parked() == 1 && r.started.Running(r.rev.Ref(), faas.StartStandby) == 1 })
}
