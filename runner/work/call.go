package work

import (
	"context"
	"errors"
	"io"
	"time"

	"davit/internal/task"
	"davit/runner/argv"
	"davit/runner/command"
)

// Abandon frees the slot of a call that was not accepted. After Accept it does nothing.
func (c *Call) Abandon() {
	c.mu.Lock()
	accepted := c.accepted
	c.mu.Unlock()
	if !accepted {
		c.giveBack()
	}
}

// giveBack undoes Take, for a call whose command did not run.
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
	c.w.publish(task.Event{Kind: task.EventReleased, Invocation: c.id})
}

// release releases the call's scratch files.
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

// held returns the description of the call that a gateway gets.
func (c *Call) held() task.Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := task.Held{Record: *c.record.Clone(), Ended: c.ended, Uploaded: c.retired}
	if c.ended {
		h.Outcome = c.outcome
	}
	return h
}

// Log returns the log from byte from on. With follow, the reader waits for further bytes
// until the call has ended; without, it ends at the log's present size. If from is beyond
// the end, the reader is empty. The caller must close it.
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

// Cancel ends the command: SIGTERM at once, SIGKILL after Options.Grace. The outcome's
// reason is then cancelled, unless the command had ended before.
func (c *Call) Cancel() {
	c.end(errCancelled)
	c.stop()
}

// kill kills the command, because the worker closes.
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

// Ack records that a gateway has settled the outcome. The call is forgotten when its
// uploads have ended, too. Before the outcome is complete, Ack does nothing.
func (c *Call) Ack() {
	c.mu.Lock()
	if c.ended {
		c.acked = true
	}
	c.mu.Unlock()
	c.settle()
}

// settle forgets the call if its uploads have ended, a gateway has acknowledged it and
// it has no reader.
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

// retire records that the uploads have ended. If no gateway acknowledges the outcome
// within patience, late is called.
func (c *Call) retire(patience time.Duration, late func()) {
	c.mu.Lock()
	c.retired = true
	if !c.acked && !c.givenUp {
		c.expiry = time.AfterFunc(patience, func() { c.w.background(late) })
	}
	c.mu.Unlock()
	c.settle()
}

// discard releases the call, because the worker is closed.
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

// commandLine is the command's arguments and environment.
type commandLine struct{ argv, env []string }

// words returns the command's arguments and environment.
func (c *Call) words(deadline time.Time) (commandLine, error) {
	arguments, err := argv.Arguments(c.task.Command, c.task.ArgumentStyle, c.input.form)
	if err != nil {
		return commandLine{}, err
	}
	env := argv.Environ(c.w.base, c.slot.variables, c.task, c.input.form, deadline)
	return commandLine{argv: arguments, env: env}, argv.CheckSize(arguments, env, c.w.limit)
}
