package work

import (
	"errors"
	"path/filepath"

	"davit/runner/workspace"
)

// Close kills all commands and the start process, ends the uploads and removes the workspaces. It returns when all of
// this is done. Take must not be called after Close.
func (w *Worker) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed, w.draining = true, true
	w.mu.Unlock()
	w.end()
	for _, call := range w.all() {
		call.execution.kill()
	}
	if w.starter != nil {
		w.starter.kill()
	}
	w.tasks.Wait()
	for _, call := range w.all() {
		call.discard()
	}
	return w.removeAll()
}

func (w *Worker) removeAll() error {
	var errs []error
	if w.host != nil {
		errs = append(errs, w.host.Close())
	}
	w.uploader.client.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.slots {
		errs = append(errs, s.ws.Remove())
	}
	if w.starter != nil && w.starter.ws != nil {
		errs = append(errs, w.starter.ws.Remove())
	}
	if w.scratch != "" { // else New failed before it created any folder
		for _, made := range []string{w.scratch, w.shared, filepath.Join(w.launch.Dir, "slots")} {
			errs = append(errs, workspace.RemoveAll(made))
		}
	}
	w.doneOnce.Do(func() { close(w.done) })
	return errors.Join(errs...)
}
