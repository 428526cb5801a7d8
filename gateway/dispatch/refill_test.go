package dispatch

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"davit/internal/faas"
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

// TestOwnJobIsWithdrawnOnceAnotherTookTheCall: the Job that was made for a call goes when a standby runs the call, and not
// before: a standby that refuses it leaves it its Job.
func TestOwnJobIsWithdrawnOnceAnotherTookTheCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuses bool
		start   faas.Start
	}{"it takes the call": {false, faas.StartStandby}, "it refuses the call": {true, faas.StartJob}} {
		t.Run(name, func(t *testing.T) {
			var refused atomic.Int64
			standby, job := make(chan struct{}), make(chan struct{})
			r := newRigOf(t, &runners{
				t: t, dir: t.TempDir(), held: map[faas.Start]chan struct{}{faas.StartStandby: standby, faas.StartJob: job},
				refuses: func(start faas.Start) bool {
					is := c.refuses && start == faas.StartStandby
					if is {
						refused.Add(1)
					}
					return is
				},
			}, nil, faas.FunctionSpec{Standby: &faas.Standby{Min: 1, Max: 1}}, sh("true"))
			jobs := func() int { return r.started.Running(r.rev.Ref(), faas.StartJob) }
			until(t, "a standby is started", func() bool { return r.started.Running(r.rev.Ref(), faas.StartStandby) == 1 })
			answered := make(chan *Reply, 1)
			go func() {
				reply, err := r.Call(context.Background(), r.request(""))
				if err != nil {
					t.Error(err)
				}
				answered <- reply
			}()
			until(t, "a Job is made for the call", func() bool { return jobs() == 1 })
			close(standby)
			if c.refuses {
				until(t, "the standby has refused the call", func() bool { return refused.Load() > 0 })
				close(job)
			}
			reply := <-answered
			if reply == nil || reply.Body == nil {
				t.Fatalf("it was answered %+v", reply)
			}
			read(t, reply)
			if reply.Invocation.Start != c.start {
				t.Errorf("it ran on a %s runner", reply.Invocation.Start)
			}
			until(t, "no Job is left", func() bool { return jobs() == 0 })
			if n := r.started.jobs(); n != 1 {
				t.Errorf("%d Jobs were made for the call", n)
			}
		})
	}
}
