package work

import "fmt"

// noteCommon has what the start process keeps in common folders stay there, before a call.
func (w *Worker) noteCommon() error {
	if w.starter.spec == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.alone() {
		return nil
	}
	if err := w.common.Note(); err != nil {
		return fmt.Errorf("look at common folders: %w", err)
	}
	return nil
}

// cleanCommon empties the common folders after a call, unless another one runs: then the last one does.
func (w *Worker) cleanCommon() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.alone() {
		return nil
	}
	return w.common.Clean()
}

// alone reports whether at most one slot is in use, so that no call begins or runs in another one while w.mu is held.
func (w *Worker) alone() bool { return len(w.slots)+1 >= max(w.launch.Slots, 1) }
