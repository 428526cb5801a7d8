package work

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"davit/internal/faas"
	"davit/internal/task"
)

// TestSingleUseUnderFire checks that a standby runner accepts one task and never another, while many goroutines send it
// tasks, whole and broken, at the same time.
func TestSingleUseUnderFire(t *testing.T) {
	w := newWorker(t, func(l *task.Launch, _ *Options) { l.Start = faas.StartStandby })
	var accepted atomic.Int64
	var ran *Call
	var senders sync.WaitGroup
	for i := range 16 {
		tk := newTask(t, "sleep 0.2", nil)
		senders.Go(func() {
			for try := range 50 {
				c, err := w.Take(tk.Record.ID)
				if err != nil {
					if !errors.Is(err, ErrBusy) {
						t.Error(err)
					}
					continue
				}
				body := wire(t, tk, "")
				if accepted.Load() == 0 && (i+try)%3 != 0 { // most senders break off at first
					body = io.LimitReader(body, 10)
				}
				if c.Accept(context.WithoutCancel(t.Context()), body) != nil {
					c.Abandon()
					continue
				}
				if accepted.Add(1) == 1 {
					ran = c
				}
			}
		})
	}
	senders.Wait()
	if n := accepted.Load(); n != 1 {
		t.Fatalf("%d tasks were accepted", n)
	}
	if d := finish(t, ran); d.Reason != "" {
		t.Errorf("%+v", d.Outcome)
	}
	<-w.Done()
	if _, err := w.Take("late"); !errors.Is(err, ErrBusy) {
		t.Errorf("after all: %v", err)
	}
}
