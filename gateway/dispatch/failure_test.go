package dispatch

import (
	"context"
	"strings"
	"testing"

	"davit/internal/faas"
	"davit/internal/task"
)

// TestFailedUnheardAtTheEnd: a call that still runs when the dispatcher ends has not succeeded.
func TestFailedUnheardAtTheEnd(t *testing.T) {
	base, end := context.WithCancel(t.Context())
	c := newCall(base, &faas.Invocation{ID: "i", State: faas.Running, Inner: &faas.Inner{}}, &faas.Revision{}, &task.Task{})
	end()
	if !c.isDecided() {
		t.Fatal("the call waits on")
	}
	err := failedUnheard(c)
	if faas.KindOf(err) != faas.Unavailable || !strings.Contains(err.Error(), "the gateway is stopping") {
		t.Errorf("while it runs: %v", err)
	}
	c.change(func(i *faas.Invocation) { i.State = faas.Succeeded })
	if err := failedUnheard(c); !strings.Contains(err.Error(), "the command succeeded") {
		t.Errorf("once it has succeeded: %v", err)
	}
}
