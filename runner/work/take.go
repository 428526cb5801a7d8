package work

import (
	"context"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

func newCall(w *Worker, id faas.InvocationID, s *slot) *Call {
	c := &Call{w: w, id: id, slot: s, answers: answers{known: make(chan struct{})}}
	c.life, c.end = context.WithCancelCause(w.life)
	return c
}

// Take takes a slot for an invocation, or returns ErrBusy. If the only slots that are not in use are being cleaned, it
// waits for one for at most half a second. The caller must call Accept or Abandon on the Call.
func (w *Worker) Take(id faas.InvocationID) (*Call, error) {
	var late <-chan time.Time
	for {
		call, cleaned := w.tryTake(id)
		if call != nil {
			return call, nil
		}
		if cleaned == nil {
			return nil, ErrBusy
		}
		if late == nil {
			timer := time.NewTimer(cleaningWait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-cleaned:
		case <-late:
			return nil, ErrBusy
		}
	}
}

// tryTake takes a slot. If a slot is being cleaned, it returns a channel that is closed when a slot was cleaned. It
// returns nil, nil if waiting is no use.
func (w *Worker) tryTake(id faas.InvocationID) (*Call, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, held := w.calls[id]
	other := w.launch.Invocation != "" && w.launch.Invocation != id
	if held || other || w.draining {
		return nil, nil
	}
	s := w.pop()
	if s == nil {
		if w.cleaning == 0 {
			return nil, nil
		}
		if w.cleaned == nil {
			w.cleaned = make(chan struct{})
		}
		return nil, w.cleaned
	}
	call := newCall(w, id, s)
	w.calls[id] = call
	w.publishLocked(task.Event{Kind: task.EventTaken, Invocation: id})
	return call, nil
}

// pop takes a free slot, or returns nil. The caller holds w.mu.
func (w *Worker) pop() *slot {
	last := len(w.slots) - 1
	if last < 0 {
		return nil
	}
	s := w.slots[last]
	w.slots = w.slots[:last]
	return s
}

// Find returns the call of an invocation, from its acceptance until it is forgotten.
func (w *Worker) Find(id faas.InvocationID) (*Call, bool) {
	w.mu.Lock()
	call, held := w.calls[id]
	w.mu.Unlock()
	if !held || !call.progress.isAccepted() {
		return nil, false
	}
	return call, true
}

// Owned returns the invocations that the worker owns: accepted and not forgotten.
func (w *Worker) Owned() []task.Owned {
	var held []task.Owned
	for _, call := range w.all() {
		if call.progress.isAccepted() {
			held = append(held, call.held())
		}
	}
	return held
}
