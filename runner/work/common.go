package work

import "fmt"

// noteCommon has what the start process keeps in common folders stay there, before a call writes to them.
func (w *Worker) noteCommon() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.starter.spec != nil && w.alone() {
		if err := w.common.Note(); err != nil {
			return fmt.Errorf("look at common folders: %w", err)
		}
	}
	w.commonUsed = true
	return nil
}

// cleanCommon empties the common folders when a call has used them, unless another one runs: then the last one does.
// Before any has, what is there is the start process's.
func (w *Worker) cleanCommon() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.commonUsed || !w.alone() {
		return nil
	}
	if err := w.common.Clean(); err != nil {
		return err
	}
	w.commonUsed = false
	return nil
}

// alone reports whether at most one slot is in use, so that no call begins or runs in another one while w.mu is held.
func (w *Worker) alone() bool { return len(w.slots)+1 >= max(w.launch.Slots, 1) }
