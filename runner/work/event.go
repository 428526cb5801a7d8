package work

import (
	"context"

	"davit/internal/task"
)

// maxBehind is how many events a reader may be behind.
const maxBehind = 4096

// publish numbers an event and gives it to the readers; w.mu is held.
func (w *Worker) publish(e task.Event) {
	w.feed.seq++
	e.Seq, e.Free = w.feed.seq, w.free()
	if e.Kind == task.EventStartFailed {
		failed := e
		w.feed.failed = &failed
	}
	for r := range w.feed.readers {
		r.add(e)
	}
}

// tell publishes an event.
func (w *Worker) tell(e task.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.publish(e)
}

func (r *reader) add(e task.Event) {
	if len(r.waiting) >= maxBehind {
		r.slow, r.waiting = true, nil
	}
	if !r.slow {
		r.waiting = append(r.waiting, e)
	}
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// Events calls tell with an EventSlots first and then with each event in order,
// until ctx ends or tell fails. A reader that falls far behind gets ErrSlow and
// is to attach again. The first event has the number of the last that was missed;
// of those, only that the start process failed is told again.
func (w *Worker) Events(ctx context.Context, tell func(task.Event) error) error {
	r := &reader{more: make(chan struct{}, 1)}
	w.mu.Lock()
	first := task.Event{Seq: w.feed.seq, Kind: task.EventSlots, Free: w.free()}
	if w.feed.readers == nil {
		w.feed.readers = map[*reader]bool{}
	}
	w.feed.readers[r] = true
	if w.feed.failed != nil {
		r.add(*w.feed.failed)
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.feed.readers, r)
	}()
	if err := tell(first); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.more:
		}
		if err := w.drainTo(r, tell); err != nil {
			return err
		}
	}
}

// drainTo tells what waits.
func (w *Worker) drainTo(r *reader, tell func(task.Event) error) error {
	w.mu.Lock()
	events, slow := r.waiting, r.slow
	r.waiting = nil
	w.mu.Unlock()
	if slow {
		return ErrSlow
	}
	for i := range events {
		if err := tell(events[i]); err != nil {
			return err
		}
	}
	return nil
}

// Seq returns the number of the last event.
func (w *Worker) Seq() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.feed.seq
}
