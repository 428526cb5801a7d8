package dispatch

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"davit/gateway/faas"
)

// TestStandbyIsReplacedWhileItsCallRuns: the next call need not wait for the end of this one's runner.
func TestStandbyIsReplacedWhileItsCallRuns(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, faas.FunctionSpec{Standby: &faas.Standby{Min: 1, Max: 1}}, sh("cat "+gate))
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
