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
