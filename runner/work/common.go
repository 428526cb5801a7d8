package work

import "fmt"

// noteCommon records the files that the start process keeps in common folders, before a call writes to these folders:
// cleanCommon leaves the recorded files.
func (w *Worker) noteCommon() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.starter.spec != nil && w.alone() {
		if err := w.common.Note(); err != nil {
			return fmt.Errorf("read common folders: %w", err)
		}
	}
	w.commonUsed = true
	return nil
}

// cleanCommon empties the common folders if a call has used them. While another call runs it does nothing: the last
// call that ends empties them. Before the first call, all files there are the start process's.
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

// alone reports whether at most one slot is in use. While the caller holds w.mu, no call begins or runs in another slot
// then.
func (w *Worker) alone() bool { return len(w.slots)+1 >= max(w.launch.Slots, 1) }
