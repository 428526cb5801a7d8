package work

import (
	"errors"

	"davit/internal/task"
)

// enter adds a task that Close waits for. It returns false if the worker is closed.
func (w *Worker) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.tasks.Add(1)
	return true
}

// background runs f in a goroutine that Close waits for. It returns false if the worker is closed.
func (w *Worker) background(f func()) bool {
	if !w.enter() {
		return false
	}
	go func() {
		defer w.tasks.Done()
		f()
	}()
	return true
}

// all returns all calls, also those that are not accepted.
func (w *Worker) all() []*Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := make([]*Call, 0, len(w.calls))
	for _, call := range w.calls {
		calls = append(calls, call)
	}
	return calls
}

// Free returns the number of free slots: 0 while the worker drains.
func (w *Worker) Free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.free()
}

// count counts an accepted call, and drains the worker after its last one.
func (w *Worker) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accepted++
	switch most := w.launch.MaxCalls; {
	case w.single():
		w.draining = true
	case most > 0 && w.accepted >= most:
		w.drain("it has taken its max_calls")
	}
}

// Drain makes the worker refuse further calls. Calls that were taken go on.
func (w *Worker) Drain(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drain(why)
}

func (w *Worker) drain(why string) {
	if w.draining {
		return
	}
	w.draining = true
	w.publishLocked(task.Event{Kind: task.EventDraining, Detail: why})
	w.checkDone()
}

// Done is closed when the worker drains and has forgotten all its calls: the program may end.
func (w *Worker) Done() <-chan struct{} { return w.done }

// checkDone closes done if the worker drains and has no calls and no slot to clean. The caller holds w.mu.
func (w *Worker) checkDone() {
	if w.draining && len(w.calls) == 0 && w.cleaning == 0 {
		w.doneOnce.Do(func() { close(w.done) })
	}
}

// forget removes a call from the worker.
func (w *Worker) forget(c *Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.calls, c.id)
	w.checkDone()
}

// toClean announces that a slot is about to be cleaned, so that Take waits for it.
func (w *Worker) toClean() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cleaning++
}

// clean cleans a slot and frees it, after toClean. If the slot cannot be cleaned, the worker drains, so that no call
// gets it.
func (w *Worker) clean(s *slot) {
	err := errors.Join(s.ws.Clean(), w.cleanCommon())
	if err != nil {
		w.log.Error("workspace cannot be cleaned", "error", err)
	}
	dirty := w.host.Dirty()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cleaning--
	w.slots = append(w.slots, s)
	switch {
	case dirty:
		w.drain("dirty: a process was left behind that belongs to no call")
	case err != nil:
		w.drain("dirty: a workspace cannot be cleaned")
	}
	if w.cleaned != nil {
		close(w.cleaned)
		w.cleaned = nil
	}
	w.checkDone()
}
