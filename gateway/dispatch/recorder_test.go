package dispatch

import (
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// TestRecordedBeforeItsStep: the record of a call may be written between the change that makes it final and the step to
// ended. The end counts once all the same, and what the runner uploads later still completes the record.
func TestRecordedBeforeItsStep(t *testing.T) {
	inv := &faas.Invocation{ID: "i", State: faas.Running, Inner: &faas.Inner{}}
	c := newCall(t.Context(), inv, &faas.Revision{}, &task.Task{})
	c.to(claimed)
	c.to(committed)
	c.change(func(i *faas.Invocation) { i.End(faas.ReasonExitCode, "1", time.Now()) })
	if first, over := c.recorded(); !first || over {
		t.Errorf("the first time: first %v, over %v", first, over)
	}
	if first := c.to(ended); first {
		t.Error("the call is known only now")
	}
	if _, alone := c.toWrite(); !alone {
		t.Error("its record would be written as if it were not in Redis")
	}
	c.to(stored)
	if first, over := c.recorded(); first || !over {
		t.Errorf("after the uploads: first %v, over %v", first, over)
	}
}
