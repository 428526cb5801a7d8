package fleet_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"davit/gateway/dispatch/dispatchtest"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestStandbysWaitForCallsWithJobs: what a burst beyond the standbys needs comes first, the next standbys after that.
func TestStandbysWaitForCallsWithJobs(t *testing.T) {
	t.Parallel()
	r := dispatchtest.New(t, faas.FunctionSpec{Standby: &faas.Standby{Min: 2, Max: 2}}, dispatchtest.Sh("true"))
	running := func() int { return r.Runners.Running(r.Rev.Ref(), faas.StartStandby) }
	testenv.Eventually(t, "standbys are parked", func() bool { return r.Hub.Slots(r.Rev.Ref())[faas.StartStandby].Free == 2 })
	done := []func(){r.Fleet.Cover(r.Rev), r.Fleet.Cover(r.Rev)}
	for _, runner := range r.Hub.Connected(r.Rev.Ref(), faas.StartStandby) {
		if err := r.Hub.Drain(t.Context(), runner); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "they are gone", func() bool { return running() == 0 })
	r.Fleet.ScaleRevision(t.Context(), r.Rev)
	if n := running(); n != 0 {
		t.Errorf("%d standbys are started while 2 calls wait for their Jobs", n)
	}
	done[0]()
	testenv.Eventually(t, "one is started for the call that has its slot", func() bool { return running() == 1 })
	done[1]()
	testenv.Eventually(t, "both are there again", func() bool { return running() == 2 })
}

// TestStandbyIsReplacedWhileItsCallRuns: the next call need not wait for the end of this one's runner.
func TestStandbyIsReplacedWhileItsCallRuns(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := dispatchtest.NewApart(t, faas.FunctionSpec{Standby: &faas.Standby{Min: 1, Max: 1}}, dispatchtest.Sh("until [ -e "+gate+" ]; do sleep 0.01; done"))
	parked := func() int { return r.Hub.Slots(r.Rev.Ref())[faas.StartStandby].Free }
	testenv.Eventually(t, "a standby is parked", func() bool { return parked() == 1 })
	answered := make(chan error, 1)
	go func() {
		reply, err := r.Call(context.Background(), r.Request(""))
		if err == nil {
			err = reply.Body.Close()
		}
		answered <- err
	}()
	testenv.Eventually(t, "another is parked beside the one that works", func() bool {
		return parked() == 1 && r.Runners.Running(r.Rev.Ref(), faas.StartStandby) == 2
	})
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "one is left", func() bool { return parked() == 1 && r.Runners.Running(r.Rev.Ref(), faas.StartStandby) == 1 })
}
