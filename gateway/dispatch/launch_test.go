package dispatch_test

import (
	"context"
	"sync/atomic"
	"testing"

	"davit/gateway/dispatch/dispatchtest"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestOwnJobIsWithdrawnOnceAnotherTookTheCall: the Job that was made for a call goes when a standby runs the call, and
// not before: a standby that refuses it leaves it its Job.
func TestOwnJobIsWithdrawnOnceAnotherTookTheCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuses bool
		start   faas.Start
	}{"it takes the call": {false, faas.StartStandby}, "it refuses the call": {true, faas.StartJob}} {
		t.Run(name, func(t *testing.T) {
			var refused atomic.Int64
			standby, job := make(chan struct{}), make(chan struct{})
			r := dispatchtest.NewOf(t, dispatchtest.Options{Runners: &dispatchtest.Runners{
				Apart: !c.refuses, // the job ends while the standby runs a command
				Owned: map[faas.Start]chan struct{}{faas.StartStandby: standby, faas.StartJob: job},
				Refuses: func(start faas.Start) bool {
					is := c.refuses && start == faas.StartStandby
					if is {
						refused.Add(1)
					}
					return is
				},
			}}, faas.FunctionSpec{Standby: &faas.Standby{Min: 1, Max: 1}}, dispatchtest.Sh("true"))
			jobs := func() int { return r.Runners.Running(r.Rev.Ref(), faas.StartJob) }
			testenv.Eventually(t, "a standby is started", func() bool { return r.Runners.Running(r.Rev.Ref(), faas.StartStandby) == 1 })
			answered := make(chan *faas.Reply, 1)
			go func() {
				reply, err := r.Call(context.Background(), r.Request(""))
				if err != nil {
					t.Error(err)
				}
				answered <- reply
			}()
			testenv.Eventually(t, "a Job is made for the call", func() bool { return jobs() == 1 })
			close(standby)
			if c.refuses {
				testenv.Eventually(t, "the standby has refused the call", func() bool { return refused.Load() > 0 })
				close(job)
			}
			reply := <-answered
			if reply == nil || reply.Body == nil {
				t.Fatalf("it was answered %+v", reply)
			}
			dispatchtest.Read(t, reply)
			if reply.Invocation.Start != c.start {
				t.Errorf("it ran on a %s runner", reply.Invocation.Start)
			}
			testenv.Eventually(t, "no Job is left", func() bool { return jobs() == 0 })
			if n := r.Runners.Jobs(); n != 1 {
				t.Errorf("%d Jobs were made for the call", n)
			}
		})
	}
}
