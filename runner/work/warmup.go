package work

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

const rehearsalTimeout = 10 * time.Second

// Rehearse runs a call of its own with the command, however that ends. The first real call finds code
// and memory in place then: worth it where that is the only one. It is for before the worker is
// parked: nobody hears of it, nothing is kept or stored, and it does not count. When it fails, the
// worker can be used as before.
func (w *Worker) Rehearse(command ...string) error {
	id, err := faas.NewInvocationID()
	if err != nil {
		return fmt.Errorf("rehearse: %w", err)
	}
	record := faas.Invocation{ID: id, Function: w.launch.Function, Revision: w.launch.Revision, State: faas.Starting, CreatedAt: w.now(), Inner: &faas.Inner{}}
	body, err := task.EncodeTask(&task.Task{
		Record: record, Command: command, ArgumentStyle: faas.Placeholders, Response: faas.ResponseZip, Keep: faas.KeepNone,
		Timeout: faas.Duration(rehearsalTimeout), Request: task.Request{Method: "POST", Path: "/"},
		Put: task.Put{Input: "-"}, // so that there is a file for it
	})
	if err != nil {
		return fmt.Errorf("rehearse: %w", err)
	}
	w.mu.Lock()
	s := w.pop()
	w.mu.Unlock()
	if s == nil {
		return ErrBusy
	}
	call := newCall(w, id, s)
	concluded, err := call.rehearse(bytes.NewReader(body))
	call.end(nil)
	call.release()
	if !concluded {
		w.toClean()
	}
	w.clean(s)
	if err != nil {
		return fmt.Errorf("rehearse: %w", err)
	}
	return nil
}

// rehearse does what Accept and run do, but for telling and storing it. It reports whether the
// call was concluded.
func (c *Call) rehearse(body io.Reader) (concluded bool, err error) {
	if err := c.receive(c.life, body); err != nil {
		return false, err
	}
	words, err := c.arrange()
	if err != nil {
		return false, err
	}
	out := c.newStdout()
	end := c.newProcess(words, out).Run()
	o := &task.Outcome{Runner: c.w.launch.Runner}
	c.judge(o, &end)
	o.Reason, o.Detail = "", "" // what comes after a success is more
	o = c.conclude(o, c.find(o, out))
	_, err = o.Header()
	return true, err
}
