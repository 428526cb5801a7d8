package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/form"
	"davit/runner/scratch"
)

// Accept reads the task and the input from body to its end, which is the commit, and starts the command in the
// background. After a nil error the caller must call Answer, even if nobody reads the answer. After an error nothing
// ran and the slot is free again: the body ended early, is no task or is too large, the start process has failed since
// it was ready, or ctx ended. Accept returns nil for an input that is complete but malformed: the outcome reports it.
func (c *Call) Accept(ctx context.Context, body io.Reader) error {
	begun := c.w.now()
	if !c.w.enter() {
		return errClosed
	}
	defer c.w.tasks.Done()
	err := c.receive(ctx, body)
	if err == nil {
		err = c.commit(begun)
	}
	if err != nil {
		c.giveBack()
		return err
	}
	return nil
}

// commit marks the call as accepted and runs it.
func (c *Call) commit(begun time.Time) error {
	if err := c.w.starter.broken(); err != nil {
		return err
	}
	now := c.w.now()
	r := c.task.Record.Clone()
	r.State, r.Start, r.StartedAt = faas.Running, c.w.launch.Start, &now
	r.Phases.Input = faas.Duration(now.Sub(begun))
	r.Input = c.input.describe()
	if r.Inner == nil {
		r.Inner = &faas.Inner{}
	}
	r.Inner.Runner = c.w.launch.Runner
	c.record.set(r)
	c.execution.started = now
	if !c.progress.accept() {
		return errors.New("the call was given up")
	}
	c.w.count()
	if !c.w.background(c.run) {
		return errClosed
	}
	return nil
}

// receive reads the task and its input. It returns the errors of the body and the disk; a fault of a complete input is
// kept in c.input for the outcome.
func (c *Call) receive(ctx context.Context, body io.Reader) error {
	body = &ctxReader{ctx: ctx, life: c.life, from: body}
	t, err := task.ReadTask(body)
	if err != nil {
		return err
	}
	if t.Record.ID != c.id {
		return fmt.Errorf("read task: it is for %q, the slot was taken for %q", t.Record.ID, c.id)
	}
	c.setTask(t)
	if t.InputURL == "" {
		return c.input.read(body)
	}
	switch n, err := io.CopyN(io.Discard, body, 1); {
	case n != 0:
		return errors.New("read input: there are bytes after the task, whose input is in the store")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read input: %w", err)
	}
	return nil
}

// setTask gives the task to the parts of the call.
func (c *Call) setTask(t *task.Task) {
	log := scratch.NewLossy(c.w.scratch)
	c.task, c.log = t, log
	c.input = input{task: t, scratch: c.w.scratch, form: form.New(c.slot.ws)}
	c.execution = execution{w: c.w, task: t, slot: c.slot, input: &c.input, log: log}
	c.uploads = uploads{w: c.w, task: t, log: log, input: &c.input, record: &c.record}
}
