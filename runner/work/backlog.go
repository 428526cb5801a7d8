package work

import (
	"cmp"
	"context"
	"errors"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
)

// errBacklogFull says that the backlog is full and the store accepts no uploads, so that no
// further command is started.
var errBacklogFull = errors.New("the backlog of uploads is full")

func newBacklog(most Backlog) *backlog {
	return &backlog{most: Backlog{
		Calls: cmp.Or(most.Calls, 256), Bytes: cmp.Or(most.Bytes, 2<<30), Patience: cmp.Or(most.Patience, time.Minute),
	}}
}

// wait returns when the backlog is below its limits. It returns errBacklogFull when no
// upload ends for Patience.
func (b *backlog) wait(ctx context.Context) error {
	for {
		moved := b.full()
		if moved == nil {
			return nil
		}
		late := time.NewTimer(b.most.Patience)
		select {
		case <-moved:
			late.Stop()
		case <-late.C:
			return errBacklogFull
		case <-ctx.Done():
			late.Stop()
			return context.Cause(ctx)
		}
	}
}

// full returns a channel that is closed when an upload ends, or nil if the backlog is
// below its limits.
func (b *backlog) full() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls < b.most.Calls && b.bytes < b.most.Bytes {
		return nil
	}
	if b.moved == nil {
		b.moved = make(chan struct{})
	}
	return b.moved
}

// add adds a call with so many bytes to the backlog; done removes it.
func (b *backlog) add(bytes int64) (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	b.bytes += bytes
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.calls--
		b.bytes -= bytes
		if b.moved != nil {
			close(b.moved)
			b.moved = nil
		}
	}
}

// awaitStore waits while the backlog is full, if the call may be stored.
func (c *Call) awaitStore() error {
	c.mu.Lock()
	never := !c.mustKeep() && c.task.Keep == faas.KeepNone
	c.mu.Unlock()
	if never || c.task.Put == (task.Put{}) {
		return nil
	}
	err := c.w.backlog.wait(c.life)
	if errors.Is(err, errBacklogFull) {
		c.mu.Lock()
		c.uploads.skipped = true
		c.mu.Unlock()
	}
	return err
}

// addToBacklog adds the call to the backlog if it is to be uploaded; done removes it.
func (c *Call) addToBacklog(o *task.Outcome) (done func()) {
	if !c.kept(o) || c.task.Put == (task.Put{}) {
		return func() {}
	}
	bytes := c.log.Size() + c.answer.rawSize
	for _, file := range []*scratch.File{c.inputFile(), c.answer.zip, c.answer.out} {
		if file != nil {
			bytes += file.Size()
		}
	}
	return c.w.backlog.add(bytes)
}
