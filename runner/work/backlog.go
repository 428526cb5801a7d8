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

// errBehind says that the store takes nothing and no more is begun.
var errBehind = errors.New("uploads are too far behind")

func newBacklog(most Behind) *backlog {
	return &backlog{most: Behind{
		Calls: cmp.Or(most.Calls, 256), Bytes: cmp.Or(most.Bytes, 2<<30), Patience: cmp.Or(most.Patience, time.Minute),
	}}
}

// wait returns when there is room, or errBehind when nothing moves for too long.
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
			return errBehind
		case <-ctx.Done():
			late.Stop()
			return context.Cause(ctx)
		}
	}
}

// full returns what to wait for, or nil if there is room.
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

// add takes a call in, and gives it up again when it is done.
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

// awaitStore waits while the store is too far behind for a call that it is to keep.
func (c *Call) awaitStore() error {
	c.mu.Lock()
	never := !c.mustKeep() && c.task.Keep == faas.KeepNone
	c.mu.Unlock()
	if never || c.task.Put == (task.Put{}) {
		return nil
	}
	err := c.w.backlog.wait(c.life)
	if errors.Is(err, errBehind) {
		c.mu.Lock()
		c.uploads.spare = true
		c.mu.Unlock()
	}
	return err
}

// fallBehind counts the call among those that are still to be uploaded, if it is one.
func (c *Call) fallBehind(o *task.Outcome) (done func()) {
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
