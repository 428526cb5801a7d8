package work

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"

	"davit/internal/faas"
	"davit/internal/task"
)

func TestEventsOfACall(t *testing.T) {
	w := newWorker(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan task.Event, 100)
	ended := make(chan error, 1)
	go func() { ended <- w.Events(ctx, func(e task.Event) error { events <- e; return nil }) }()
	first := <-events
	if first.Kind != task.EventSlots || first.Free != 1 {
		t.Fatalf("first %+v", first)
	}
	tk := newTask(t, "exit 3", nil)
	c, err := w.Take(tk.Record.ID)
	must(t, err)
	c.Abandon()
	d := call(t, w, tk, "")
	var kinds []string
	last := first.Seq
	for len(kinds) < 6 {
		e := <-events
		if e.Kind == task.EventSlots {
			continue
		}
		if e.Seq != last+1 {
			t.Errorf("event %d after %d", e.Seq, last)
		}
		last = e.Seq
		kinds = append(kinds, fmt.Sprintf("%s %d", e.Kind, e.Free))
		switch e.Kind {
		case task.EventRunning:
			if e.Record == nil || e.Record.State != faas.Running || e.Record.ID != tk.Record.ID || e.Record.Start != faas.StartWarm || e.Record.Inner.Runner != "runner-1" {
				t.Errorf("running: %+v", e.Record)
			}
		case task.EventEnded:
			if e.Outcome == nil || e.Outcome.Reason != d.Reason {
				t.Errorf("ended: %+v", e.Outcome)
			}
			w.Drain("because")
		case task.EventSlots, task.EventTaken, task.EventReleased, task.EventInputStored, task.EventStored, task.EventStartFailed, task.EventDraining:
		}
	}
	sort.Strings(kinds)
	if got := strings.Join(kinds, ", "); got != "draining 0, ended 1, released 1, running 0, taken 0, taken 0" {
		t.Fatalf("events %s", got)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("events ended with %v", err)
	}
}

func TestSlowReaderOfEventsIsDropped(t *testing.T) {
	w := newWorker(t, nil)
	reading := make(chan struct{})
	ended := make(chan error)
	gate := make(chan struct{})
	go func() {
		ended <- w.Events(t.Context(), func(e task.Event) error {
			if e.Kind == task.EventSlots {
				close(reading)
				<-gate
			}
			return nil
		})
	}()
	<-reading
	for range maxUnread + 2 {
		w.publish(task.Event{Kind: task.EventTaken})
	}
	close(gate)
	if err := <-ended; !errors.Is(err, ErrSlow) {
		t.Fatalf("got %v", err)
	}
}
