package dispatch

import (
	"testing"

	"davit/internal/faas"
)

// TestLeftOverJobsEnd: a parked runner whose invocation is over goes, once it was
// seen twice; one whose invocation is led here stays.
func TestLeftOverJobsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, faas.FunctionSpec{}, sh("true"))
	id, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.started.Launch(t.Context(), r.rev, id, 0); err != nil {
		t.Fatal(err)
	}
	until(t, "it is parked", func() bool { return r.Slots(r.rev.Ref())[faas.StartJob].Free == 1 })
	led := newCall(r.Dispatcher, &faas.Invocation{ID: id, Inner: &faas.Inner{}}, r.rev, nil)
	r.add(led)
	seen := r.endLeftOver(t.Context(), nil)
	if seen = r.endLeftOver(t.Context(), seen); len(seen) != 1 || r.Slots(r.rev.Ref())[faas.StartJob].Free != 1 {
		t.Errorf("seen %v, and it is drained, whose invocation is led here", seen)
	}
	r.forget(led)
	r.endLeftOver(t.Context(), seen)
	until(t, "it is gone", func() bool { return r.started.Running(r.rev.Ref(), faas.StartJob) == 0 })
}
