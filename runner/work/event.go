package work

import (
	"context"

	"davit/internal/task"
)

// maxUnread is how many events a reader may leave unread.
const maxUnread = 4096

// publishLocked numbers an event and gives it to the readers. The caller holds w.mu.
func (w *Worker) publishLocked(e task.Event) {
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

// publish numbers an event and gives it to the readers.
func (w *Worker) publish(e task.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.publishLocked(e)
}

func (r *reader) add(e task.Event) {
	if len(r.waiting) >= maxUnread {
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

// Events calls send with an EventSlots first and then with each new event in order, until ctx ends or send fails. If
// more than 4096 events are unread, it returns ErrSlow; the reader should call Events again. The first event has the
// number of the last event before it. Of the events before it, only EventStartFailed is sent again.
func (w *Worker) Events(ctx context.Context, send func(task.Event) error) error {
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
	if err := send(first); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.more:
		}
		if err := w.drainTo(r, send); err != nil {
			return err
		}
	}
}

// drainTo sends the reader's waiting events.
func (w *Worker) drainTo(r *reader, send func(task.Event) error) error {
	w.mu.Lock()
	events, slow := r.waiting, r.slow
	r.waiting = nil
	w.mu.Unlock()
	if slow {
		return ErrSlow
	}
	for i := range events {
		if err := send(events[i]); err != nil {
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
