package work

import (
	"errors"

	"davit/internal/task"
)

// enter adds to what Close waits for; false: it is closed.
func (w *Worker) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.tasks.Add(1)
	return true
}

// background runs f in a goroutine that Close waits for; false: it is closed.
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

// all returns the calls, accepted or not.
func (w *Worker) all() []*Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := make([]*Call, 0, len(w.calls))
	for _, call := range w.calls {
		calls = append(calls, call)
	}
	return calls
}

// Free returns how many slots a Take would find.
func (w *Worker) Free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.free()
}

// count notes an accepted call: a worker may be done with taking after it.
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

// Drain takes no more calls; those that are taken go on.
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
	w.publish(task.Event{Kind: task.EventDraining, Detail: why})
	w.checkDone()
}

// Done is closed when the worker drains and holds nothing more: the program may end.
func (w *Worker) Done() <-chan struct{} { return w.done }

// checkDone closes done when there is nothing left to do; w.mu is held.
func (w *Worker) checkDone() {
	if w.draining && len(w.calls) == 0 && w.cleaning == 0 {
		w.doneOnce.Do(func() { close(w.done) })
	}
}

// forget drops a call that nobody needs any more, or that gave its slot back.
func (w *Worker) forget(c *Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.calls, c.id)
	w.checkDone()
}

// toClean says that a slot is about to be cleaned, so that a Take waits for it.
func (w *Worker) toClean() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cleaning++
}

// clean makes a slot free again, after toClean. What cannot be cleaned stays shut, and the worker drains.
func (w *Worker) clean(s *slot) {
	err := errors.Join(s.room.Clean(), w.cleanCommon())
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
