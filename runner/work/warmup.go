package work

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const warmUpTimeout = 10 * time.Second

// WarmUp runs the command as a call of its own, so that the runner's code and memory are loaded before the first real
// call. This is worth its time on a worker that takes only one call. WarmUp must return before the first Take. It
// publishes no event, stores nothing and does not count as a call. It ignores how the command ends. After an error the
// worker can be used as before.
func (w *Worker) WarmUp(command ...string) error {
	id, err := faas.NewInvocationID()
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	record := faas.Invocation{ID: id, Function: w.launch.Function, Revision: w.launch.Revision, State: faas.Starting, CreatedAt: w.now(), Inner: &faas.Inner{}}
	body, err := task.EncodeTask(&task.Task{
		Record: record, Command: command, ArgumentStyle: faas.Placeholders, Response: faas.ResponseZip, Keep: faas.KeepNone,
		Timeout: faas.Duration(warmUpTimeout), Request: task.Request{Method: "POST", Path: "/"},
		Put: task.Put{Input: "-"}, // so that the input gets a file, as in most calls
	})
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	w.mu.Lock()
	s := w.pop()
	w.mu.Unlock()
	if s == nil {
		return ErrBusy
	}
	call := newCall(w, id, s)
	concluded, err := call.warmUp(bytes.NewReader(body))
	call.end(nil)
	call.release()
	if !concluded {
		w.toClean()
	}
	w.clean(s)
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return nil
}

// warmUp does the work of Accept and run, but publishes and stores nothing. It reports whether the call was concluded.
func (c *Call) warmUp(body io.Reader) (concluded bool, err error) {
	if err := c.receive(c.life, body); err != nil {
		return false, err
	}
	line, err := c.execution.arrange()
	if err != nil {
		return false, err
	}
	out := c.execution.newStdout()
	end := c.execution.run(c.life, line, out)
	o := &task.Outcome{Runner: c.w.launch.Runner}
	c.execution.describe(o, &end)
	o.Reason, o.Detail = "", "" // so that conclude also zips, as after a success
	f := &findings{w: c.w, task: c.task, out: out, at: c.w.now()}
	if !f.find(o, c.slot.ws) {
		f = nil
	}
	o = c.conclude(o, f)
	_, err = o.Header()
	return true, err
}
