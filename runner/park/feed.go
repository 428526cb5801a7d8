package park

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const (
	feedAhead = 64                   // how many events may be sent together
	linger    = 3 * time.Millisecond // how long an event may wait for the next, so that all events of a short call are sent together
)

func newFeed(ctx context.Context, l *connections) *feed {
	f := &feed{conns: l, events: make(chan task.Event, feedAhead), over: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(ctx)
	go func() {
		defer close(f.over)
		f.err = l.worker.Events(ctx, func(e task.Event) error {
			select {
			case f.events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return f
}

// begin waits for the first event. The feed has every later event.
func (f *feed) begin(ctx context.Context) error {
	select {
	case f.first = <-f.events:
		return nil
	case <-f.over:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the feed and waits for its end.
func (f *feed) stop() {
	f.cancel()
	<-f.over
}

// serveEvents sends the feed. A second request on the same connection is refused.
func (l *connections) serveEvents(w http.ResponseWriter, r *http.Request, k *link, f *feed) {
	ours := false
	f.asked.Do(func() { ours = true })
	if !ours {
		w.WriteHeader(http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for e, more := f.first, true; more; {
		if err := l.sendEvents(w, k, f.gather(r.Context(), e)); err != nil {
			l.log.Info("events not sent", "error", err)
			f.cancel()
			return
		}
		select {
		case e = <-f.events:
		case <-f.over:
			more = false
		case <-r.Context().Done():
			f.cancel()
			more = false
		}
	}
}

// single reports whether exactly one gateway is connected.
func (l *connections) single() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	up := 0
	for _, k := range l.links {
		if k.gateway != "" {
			up++
		}
	}
	return up == 1
}

// gather returns the event and further ones to be sent with it: events that are available, and events that follow
// within linger while no gateway waits for any of them.
func (f *feed) gather(ctx context.Context, e task.Event) []task.Event {
	f.batch = append(f.batch[:0], e)
	alone := f.conns.single()
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for late := false; !late && mayWait(&e, alone) && len(f.batch) < feedAhead; {
		select {
		case e = <-f.events:
			f.batch = append(f.batch, e)
		case <-timer.C:
			late = true
		case <-f.over:
			late = true
		case <-ctx.Done():
			late = true
		}
	}
	f.batch = f.more(f.batch)
	return f.batch
}

// mayWait reports whether no gateway waits for an event. Other gateways wait for the events that a slot is free, and
// that none is, because an offer would fail then.
func mayWait(e *task.Event, alone bool) bool {
	switch e.Kind {
	case task.EventRunning:
		return true
	case task.EventTaken:
		return alone || e.Free > 0
	case task.EventEnded:
		return alone
	case task.EventSlots, task.EventReleased, task.EventInputStored, task.EventStored, task.EventStartFailed, task.EventDraining:
	}
	return false
}

// sendEvents sends the events of a batch except those that a later one implies.
func (l *connections) sendEvents(w http.ResponseWriter, k *link, batch []task.Event) error {
	l.mu.Lock()
	gateway := k.gateway
	l.mu.Unlock()
	lines := json.NewEncoder(w)
	failed := false
	for i := range batch {
		e := &batch[i]
		switch {
		case e.Kind == task.EventSlots:
			e.Owned = l.heldIDs()
		case e.Kind == task.EventRunning && e.Record != nil && e.Record.Inner != nil && e.Record.Inner.Gateway == gateway:
			e.Record = nil // the gateway has sent this record
		}
		if implied(e, batch[i+1:]) {
			continue
		}
		if err := lines.Encode(e); err != nil {
			return err
		}
		failed = failed || e.Kind == task.EventStartFailed
	}
	seq := batch[len(batch)-1].Seq
	clear(batch)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k.sentSeq = max(k.sentSeq, seq)
	l.failureSent = l.failureSent || failed
	l.wake()
	return nil
}

// more appends the events that are available.
func (f *feed) more(batch []task.Event) []task.Event {
	for {
		select {
		case e := <-f.events:
			batch = append(batch, e)
		default:
			return batch
		}
	}
}

// implied reports whether a later event implies e, because the invocation is further then. An event with a record is
// never implied: no other event has the record.
func implied(e *task.Event, later []task.Event) bool {
	if e.Kind != task.EventTaken && e.Kind != task.EventRunning || e.Record != nil {
		return false
	}
	for i := range later {
		then := &later[i]
		if then.Invocation == e.Invocation && (then.Kind == task.EventEnded || e.Kind == task.EventTaken && then.Kind == task.EventRunning) {
			return true
		}
	}
	return false
}

// heldIDs returns the ids of the invocations that the runner owns; never nil.
func (l *connections) heldIDs() []faas.InvocationID {
	held := l.held()
	ids := make([]faas.InvocationID, len(held))
	for i := range held {
		ids[i] = held[i].Record.ID
	}
	return ids
}
