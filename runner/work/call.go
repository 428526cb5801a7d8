package work

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"davit/internal/task"
)

const (
	// ackPatience is how long an outcome that is in the store waits for the Ack of a gateway.
	ackPatience = 30 * time.Second
	// ackSoon is how long the outcome of a call that is not promised to be kept waits for an Ack before it is stored:
	// most outcomes are settled by then.
	ackSoon = time.Second
)

// run executes an accepted call: it runs the command, publishes the outcome, frees the slot and uploads the call's
// objects.
func (c *Call) run() {
	c.w.publish(task.Event{Kind: task.EventRunning, Invocation: c.id, Record: c.record.clone()})
	o := &task.Outcome{Attempt: c.task.Record.Attempt, Runner: c.w.launch.Runner}
	o = c.conclude(o, c.execute(o))
	stored := c.uploads.addToBacklog(o, c.answers.size())
	runtime.Gosched() // a goroutine that waits for the answer runs first, on this thread
	c.w.clean(c.slot)
	c.w.publish(task.Event{Kind: task.EventEnded, Invocation: c.id, Outcome: o})
	c.store(o)
	stored()
}

// execute runs the command and fills in the outcome. If the command succeeded, it returns the files of the result.
func (c *Call) execute(o *task.Outcome) *findings {
	line, err := c.prepare()
	if err != nil {
		c.execution.refuse(c.life, o, err)
		return nil
	}
	out := c.execution.newStdout()
	end := c.execution.run(c.life, line, out)
	c.execution.describe(o, &end)
	if o.Reason != "" {
		if out != nil {
			out.Release()
		}
		return nil
	}
	f := &findings{w: c.w, task: c.task, out: out, at: c.w.now()}
	if !f.find(o, c.slot.ws) {
		return nil
	}
	return f
}

// prepare prepares the command: it waits for the backlog and the start process, fetches an input that is in the store,
// and prepares workspace, arguments and environment.
func (c *Call) prepare() (commandLine, error) {
	if err := c.uploads.awaitBacklog(c.life); err != nil {
		return commandLine{}, err
	}
	c.uploads.watchInput()
	if err := c.w.starter.wait(c.life); err != nil {
		return commandLine{}, err
	}
	if c.input.isMissing() {
		if err := c.fetch(); err != nil {
			return commandLine{}, err
		}
	}
	if err := c.input.check(); err != nil {
		return commandLine{}, err
	}
	if err := c.w.noteCommon(); err != nil {
		return commandLine{}, err
	}
	return c.execution.arrange()
}

// fetch fetches the input from the store, for at most the command's timeout.
func (c *Call) fetch() error {
	begun := c.w.now()
	ctx, cancel := context.WithDeadline(c.life, begun.Add(c.task.Timeout.Std()))
	defer cancel()
	if err := c.input.fetch(ctx, c.w.uploader.client); err != nil {
		return err
	}
	c.record.addInputTime(c.w.now().Sub(begun))
	return nil
}

// conclude zips the result, publishes the outcome to Answer and returns it complete. For a result above smallResult it
// publishes the outcome before zipping, so that the zip is read while it is written.
func (c *Call) conclude(o *task.Outcome, f *findings) *task.Outcome {
	if f != nil {
		defer f.close()
		files, err := f.open(c.uploads.wants(o) && c.task.Put.Result != "")
		if err == nil {
			o.Result = f.describe()
			c.answers.offer(files)
		} else {
			f.fail(o, err)
			f = nil
		}
	}
	c.execution.describeLog(o)
	c.log.Finish()
	o.Phases.Input = c.record.inputTime()
	o.Input = c.input.describe()
	c.w.toClean()
	if f != nil && f.size > smallResult {
		c.answers.publish(o)
		later := *o
		o = &later
	}
	if f != nil && f.zip != nil {
		f.writeZip(o)
		c.execution.describeLog(o) // again, because the zip may have failed
	}
	c.uploads.fix()
	c.answers.finish(o)
	return o
}

// store uploads the call's objects if the call is kept. o is the complete outcome.
func (c *Call) store(o *task.Outcome) {
	c.uploads.stopTimer()
	// The signed URLs end at the deadline, too.
	deadline := c.execution.started.Add(c.task.Timeout.Std() + storeExtra)
	patience := max(deadline.Sub(c.w.now()), ackPatience)
	if !c.uploads.wants(o) {
		if c.uploads.isSkipped() { // a gateway waits for this event
			c.w.publish(task.Event{Kind: task.EventStored, Invocation: c.id, Outcome: o})
		}
		c.endUploads(patience, c.expire)
		return
	}
	stored := c.uploads.store(deadline, o, c.answers.zip())
	c.answers.replace(stored)
	if !c.uploads.isPromised() {
		c.w.publish(task.Event{Kind: task.EventStored, Invocation: c.id, Outcome: stored})
		c.endUploads(ackSoon, func() { c.endUploads(c.storeOutcome(stored, deadline, patience), c.expire) })
		return
	}
	patience = c.storeOutcome(stored, deadline, patience)
	c.w.publish(task.Event{Kind: task.EventStored, Invocation: c.id, Outcome: stored})
	c.endUploads(patience, c.expire)
}

// storeOutcome stores the outcome. It returns how long to wait for an Ack: patience if the outcome is not stored.
func (c *Call) storeOutcome(o *task.Outcome, deadline time.Time, patience time.Duration) time.Duration {
	if c.uploads.storeOutcome(deadline, o) {
		return ackPatience
	}
	return patience
}

// endUploads records that the uploads have ended. If no gateway acknowledges the outcome within patience, late is
// called.
func (c *Call) endUploads(patience time.Duration, late func()) {
	c.progress.endUploads(func() *time.Timer {
		return time.AfterFunc(patience, func() { c.w.background(late) })
	})
	c.settle()
}

// Answer waits until the command has ended and returns its outcome and its result; the result may still be written
// while it is read. Answer may be called several times, also concurrently, until the call is forgotten. If zipping the
// result fails, the outcome changes: a Body that is being read returns an error, and a later Answer returns the new
// outcome.
func (c *Call) Answer(ctx context.Context) (*Answer, error) {
	if !c.progress.addReader() {
		return nil, os.ErrClosed
	}
	a, err := c.answers.open(ctx, c.w.life, c.leave)
	if a == nil || a.Body == nil {
		c.leave()
	}
	return a, err
}

// leave is called when a reader of the answer has left.
func (c *Call) leave() {
	c.progress.removeReader()
	c.settle()
}

// Ack records that a gateway has settled the outcome. The call is forgotten when its uploads have ended, too. Before
// the outcome is complete, Ack does nothing.
func (c *Call) Ack() {
	if c.answers.final() != nil {
		c.progress.ack()
	}
	c.settle()
}

// expire forgets a call whose outcome no gateway has acknowledged.
func (c *Call) expire() {
	c.progress.ack()
	c.settle()
}

// settle forgets the call if it is over.
func (c *Call) settle() {
	if c.progress.finish() {
		c.end(nil)
		c.release()
		c.w.forget(c)
	}
}

// Abandon frees the slot of a call that was not accepted. After Accept it does nothing.
func (c *Call) Abandon() {
	if !c.progress.isAccepted() {
		c.giveBack()
	}
}

// giveBack undoes Take, for a call whose command did not run.
func (c *Call) giveBack() {
	if !c.progress.giveBack() {
		return
	}
	c.end(nil)
	c.release()
	c.w.toClean()
	c.w.clean(c.slot)
	c.w.forget(c)
	c.w.publish(task.Event{Kind: task.EventReleased, Invocation: c.id})
}

// discard releases the call, because the worker is closed.
func (c *Call) discard() {
	switch {
	case !c.progress.isAccepted():
		c.giveBack()
	case c.progress.giveUp():
		c.end(nil)
		c.release()
	}
}

// release releases the call's scratch files.
func (c *Call) release() {
	c.input.release()
	if c.log != nil {
		c.log.Release()
	}
	c.answers.release()
}

// held returns the description of the call that a gateway gets.
func (c *Call) held() task.Owned {
	// The outcome is read after isUploaded, because it says what is stored before that.
	h := task.Owned{Uploaded: c.progress.isUploaded(), Record: *c.record.clone(), Outcome: c.answers.final()}
	h.Ended = h.Outcome != nil
	return h
}

// Log returns the log from byte from on. With follow, the reader waits for further bytes until the call has ended;
// without, it ends at the log's present size. If from is beyond the end, the reader is empty. The caller must close it.
func (c *Call) Log(ctx context.Context, from int64, follow bool) (io.ReadCloser, error) {
	if !c.progress.isAccepted() {
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

// Keep keeps the call as task.MustKeep does: the input is stored at once, and the result when the call has ended. After
// the call's end Keep does nothing.
func (c *Call) Keep() {
	if c.progress.isAccepted() {
		c.uploads.keep()
	}
}

// Cancel ends the command: SIGTERM at once, SIGKILL after Options.Grace. The outcome's reason is then cancelled, unless
// the command had ended before.
func (c *Call) Cancel() {
	c.end(errCancelled)
	c.execution.stop()
}
