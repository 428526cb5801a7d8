package work

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/argv"
	"davit/runner/command"
	"davit/runner/form"
	"davit/runner/scratch"
)

// ErrTooLarge says that a body is larger than the task's MaxBody. Nothing ran.
var ErrTooLarge = errors.New("the body is larger than max_body")

// Call is one invocation on this runner. Its methods may be called at the same time.
type Call struct {
	w    *Worker
	id   faas.InvocationID
	slot *slot // until it is given back

	life context.Context //nolint:containedctx // of the call: until it is cancelled or the worker closes
	end  context.CancelCauseFunc

	// Set by Accept, before the call is accepted; then only read.
	task  *task.Task
	input *input
	log   *scratch.File

	uploads uploads // after Accept, its own goroutine's and under mu

	mu       sync.Mutex
	accepted bool
	givenUp  bool
	record   faas.Invocation
	process  *command.Process
	started  time.Time // of the command, or when it would have been
	outcome  *task.Outcome
	answer   resultFiles   // with outcome
	answered chan struct{} // closed when outcome is there
	ended    bool          // the outcome is complete
	retired  bool          // uploads are done or given up
	acked    bool
	readers  int  // of answers, and those who wait for one
	expected bool // one of them is who posted the call, and has not asked yet
	expiry   *time.Timer
}

func newCall(w *Worker, id faas.InvocationID, s *slot) *Call {
	c := &Call{w: w, id: id, slot: s, answered: make(chan struct{})}
	c.life, c.end = context.WithCancelCause(w.life)
	return c
}

// errCancelled is why a call's context ended.
var errCancelled = errors.New("cancelled")

// Accept reads the task and the input from body to its end, which is the commit,
// and starts the command in the background: ask for its Answer then, whether it can be
// used or not. When it returns an error (the body was cut, is no task, is too large, the
// start process has failed since it was ready, or ctx ended), nothing ran and the slot is
// free again. An input that is whole but malformed is no error: its outcome tells.
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

// commit makes the call one that was accepted, and runs it.
func (c *Call) commit(begun time.Time) error {
	if err := c.w.starter.broken(); err != nil {
		return err
	}
	now := c.w.now()
	c.mu.Lock()
	if c.givenUp || c.accepted {
		c.mu.Unlock()
		return errors.New("the call was given up")
	}
	c.accepted, c.readers, c.expected = true, 1, true
	c.record = *c.task.Record.Clone()
	c.record.State, c.record.Start, c.record.StartedAt = faas.Running, c.w.launch.Start, &now
	c.record.Phases.Input = faas.Duration(now.Sub(begun))
	c.record.Input = c.input.describe(c.task)
	if c.record.Inner == nil {
		c.record.Inner = &faas.Inner{}
	}
	c.record.Inner.Runner = c.w.launch.Runner
	c.started = now
	c.mu.Unlock()
	c.w.count()
	if !c.w.background(c.run) {
		return errClosed
	}
	return nil
}

// errClosed says that nothing is done any more.
var errClosed = errors.New("the worker is closed")

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

// Abandon gives the slot of a call back that was not accepted. After Accept it does nothing.
func (c *Call) Abandon() {
	c.mu.Lock()
	accepted := c.accepted
	c.mu.Unlock()
	if !accepted {
		c.giveBack()
	}
}

// giveBack undoes Take: nothing ran.
func (c *Call) giveBack() {
	c.mu.Lock()
	again := c.givenUp
	c.givenUp, c.accepted = true, false
	c.mu.Unlock()
	if again {
		return
	}
	c.end(nil)
	c.release()
	c.w.toClean()
	c.w.clean(c.slot)
	c.w.forget(c)
	c.w.tell(task.Event{Kind: task.EventReleased, Invocation: c.id})
}

// release gives up what the call keeps on scratch.
func (c *Call) release() {
	if c.input != nil {
		c.input.release()
	}
	if c.log != nil {
		c.log.Release()
	}
	c.answer.release()
}

func (c *Call) isAccepted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

// held describes the call to a gateway.
func (c *Call) held() task.Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := task.Held{Record: *c.record.Clone(), Ended: c.ended, Uploaded: c.retired}
	if c.ended {
		h.Outcome = c.outcome
	}
	return h
}

// Log returns the log from that byte on. With follow it goes on until the call has
// ended, else it ends with what there is. From beyond its end gives nothing. Close it.
func (c *Call) Log(ctx context.Context, from int64, follow bool) (io.ReadCloser, error) {
	if !c.isAccepted() {
		return nil, errors.New("read log: the call is not accepted")
	}
	r := c.log.Reader(ctx, from)
	if follow {
		return r, nil
	}
	return &limited{Reader: io.LimitReader(r, max(c.log.Size()-max(from, 0), 0)), Closer: r}, nil
}

type limited struct {
	io.Reader
	io.Closer
}

// Cancel ends the command: SIGTERM now, SIGKILL 10 s later. The outcome is then
// cancelled, unless the command had ended before.
func (c *Call) Cancel() {
	c.end(errCancelled)
	c.stop()
}

// kill ends everything that the call does; the worker closes.
func (c *Call) kill() {
	c.mu.Lock()
	p := c.process
	c.mu.Unlock()
	if p != nil {
		p.Kill(command.CauseCancel)
	}
}

func (c *Call) stop() {
	c.mu.Lock()
	p := c.process
	c.mu.Unlock()
	if p != nil {
		p.Stop(command.CauseCancel)
	}
}

// Ack says that a gateway has settled the outcome. When the uploads are done, too,
// the call is forgotten. Before the outcome is complete it does nothing.
func (c *Call) Ack() {
	c.mu.Lock()
	if c.ended {
		c.acked = true
	}
	c.mu.Unlock()
	c.settle()
}

// settle forgets the call when nobody needs it any more.
func (c *Call) settle() {
	c.mu.Lock()
	over := c.retired && c.acked && c.readers == 0 && !c.givenUp
	if over {
		c.givenUp = true
		if c.expiry != nil {
			c.expiry.Stop()
		}
	}
	c.mu.Unlock()
	if over {
		c.end(nil)
		c.release()
		c.w.forget(c)
	}
}

// retire says that the uploads are done or given up. late is what to do when no gateway
// acknowledges the outcome for a while.
func (c *Call) retire(patience time.Duration, late func()) {
	c.mu.Lock()
	c.retired = true
	if !c.acked && !c.givenUp {
		c.expiry = time.AfterFunc(patience, func() { c.w.background(late) })
	}
	c.mu.Unlock()
	c.settle()
}

// discard drops the call; the worker is closed.
func (c *Call) discard() {
	if !c.isAccepted() {
		c.giveBack()
		return
	}
	c.mu.Lock()
	again := c.givenUp
	c.givenUp = true
	if c.expiry != nil {
		c.expiry.Stop()
	}
	c.mu.Unlock()
	if !again {
		c.end(nil)
		c.release()
	}
}

func (c *Call) expire() {
	c.mu.Lock()
	c.acked = true
	c.mu.Unlock()
	c.settle()
}

// input is what a caller sent.
type input struct {
	form  *form.Input
	fault error // what is wrong with it; it is committed all the same
	raw   sink  // nil: it is still to be fetched
	sum   string
}

func (in *input) release() {
	if file, is := in.raw.(*scratch.File); is {
		file.Release()
	}
}

// describe returns what the record says of the input.
func (in *input) describe(t *task.Task) *faas.Input {
	if in.raw == nil {
		known := faas.Input{ContentType: t.Request.ContentType}
		if t.Record.Input != nil {
			known = *t.Record.Input
		}
		known.Stored = true
		return &known
	}
	return &faas.Input{
		Size: in.raw.Size(), SHA256: in.sum, ContentType: t.Request.ContentType,
		Stored: in.raw.Size() == 0 || t.InputURL != "" || t.Put.Input == "" && t.Record.Input != nil && t.Record.Input.Stored,
	}
}

// words are the command's arguments and environment.
type words struct{ argv, env []string }

// words makes what the command is told.
func (c *Call) words(deadline time.Time) (words, error) {
	arguments, err := argv.Arguments(c.task.Command, c.task.ArgumentStyle, c.input.form)
	if err != nil {
		return words{}, err
	}
	env := argv.Environ(c.w.base, c.slot.places, c.task, c.input.form, deadline)
	return words{argv: arguments, env: env}, argv.CheckSize(arguments, env, c.w.limit)
}
