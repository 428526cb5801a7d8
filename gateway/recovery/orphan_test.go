package recovery_test

import (
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestOrphansAreDrained: a parked runner whose invocation is over goes, once it was seen twice; one whose invocation is
// led here stays.
func TestOrphansAreDrained(t *testing.T) {
	t.Parallel()
	r := dispatchtest.New(t, faas.FunctionSpec{}, dispatchtest.Sh("true"))
	id, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Runners.Launch(t.Context(), r.Rev, id, 0); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it is parked", func() bool { return r.Slots(r.Rev, faas.StartJob).Free == 1 })
	led := &faas.Invocation{ID: id, Function: "f", Revision: 1, State: faas.Queued, Inner: &faas.Inner{}}
	r.Calls.Adopt(t.Context(), led, "")
	seen := r.Recovery.DrainOrphans(t.Context(), nil)
	if seen = r.Recovery.DrainOrphans(t.Context(), seen); len(seen) != 1 || r.Slots(r.Rev, faas.StartJob).Free != 1 {
		t.Errorf("seen %v, and it is drained, whose invocation is led here", seen)
	}
	led.End(faas.ReasonCancelled, "", time.Now())
	if !r.Calls.HandOver(led) {
		t.Fatal("it is not led here")
	}
	r.Recovery.DrainOrphans(t.Context(), seen)
	testenv.Eventually(t, "it is gone", func() bool { return r.Runners.Running(r.Rev.Ref(), faas.StartJob) == 0 })
}
