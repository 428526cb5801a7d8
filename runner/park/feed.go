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
	feedAhead = 64                   // how many events may go out together
	linger    = 3 * time.Millisecond // that an event may wait for the next, so that those of a short call go out together
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

// begin waits for the first event: from then on none is missed.
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

// serveEvents streams the feed; it is asked for once on each connection.
func (l *connections) serveEvents(w http.ResponseWriter, r *http.Request, k *link, f *feed) {
	ours := false
	f.asked.Do(func() { ours = true })
	if !ours {
		w.WriteHeader(http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for e, more := f.first, true; more; {
		if err := l.tell(w, k, f.gather(r.Context(), e)); err != nil {
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

// single reports whether there is no other gateway.
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

// gather returns the event with those that are there already, or come before somebody waits for one of them.
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

// mayWait reports whether nobody waits for an event. Other gateways wait to hear that a slot is
// free, or that none is: they would offer in vain.
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

// tell sends the events of a batch, but for what later ones say again.
func (l *connections) tell(w http.ResponseWriter, k *link, batch []task.Event) error {
	l.mu.Lock()
	gateway := k.gateway
	l.mu.Unlock()
	lines := json.NewEncoder(w)
	failed := false
	for i := range batch {
		e := &batch[i]
		switch {
		case e.Kind == task.EventSlots:
			e.Held = l.heldIDs()
		case e.Kind == task.EventRunning && e.Record != nil && e.Record.Inner != nil && e.Record.Inner.Gateway == gateway:
			e.Record = nil // it has sent it
		}
		if said(e, batch[i+1:]) {
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
	k.told = max(k.told, seq)
	l.failureTold = l.failureTold || failed
	l.wake()
	return nil
}

// more appends the events that are there.
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

// said reports whether what an event tells follows from a later one: how far the
// invocation is. A record it tells nobody else.
func said(e *task.Event, later []task.Event) bool {
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

// heldIDs returns the ids of what is held; never nil.
func (l *connections) heldIDs() []faas.InvocationID {
	held := l.held()
	ids := make([]faas.InvocationID, len(held))
	for i := range held {
		ids[i] = held[i].Record.ID
	}
	return ids
}
