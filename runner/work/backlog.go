package work

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
)

// Behind bounds what has ended and is still to be uploaded. While it is more, a call
// waits before its command is started, so that calls go on at the store's pace and
// scratch does not fill. A single call may be larger. Zero values mean the defaults.
type Behind struct {
	Calls    int           // 256
	Bytes    int64         // of inputs, results and logs; 2 GiB
	Patience time.Duration // of a call that waits while no upload ends; 1 min
}

// errBehind says that the store takes nothing and no more is begun.
var errBehind = errors.New("uploads are too far behind")

// backlog counts what is still to be uploaded.
type backlog struct {
	most Behind

	mu    sync.Mutex
	calls int
	bytes int64
	moved chan struct{} // closed when an upload ended; nil: nobody waits
}

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

// isSpare reports whether the call was not begun, since the store was too far behind.
func (c *Call) isSpare() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uploads.spare
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
