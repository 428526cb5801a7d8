package work

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// errBacklogFull says that the backlog is full and the store accepts no uploads, so that no further command is started.
var errBacklogFull = errors.New("the backlog of uploads is full")

// Backlog bounds the calls that have ended and are not yet uploaded. While a bound is reached, a call waits before its
// command is started, so that scratch does not fill: the runner runs calls as fast as the store takes them. A single
// call may exceed Bytes. A zero value means the default, given with each field.
type Backlog struct {
	Calls    int           // 256
	Bytes    int64         // of inputs, results and logs; 2 GiB
	Patience time.Duration // how long a call waits while no upload ends; 1 min
}

// backlog counts the calls that are not yet uploaded.
type backlog struct {
	most Backlog

	mu    sync.Mutex
	calls int
	bytes int64
	moved chan struct{} // closed when an upload ended; nil: no call waits
}

func newBacklog(most Backlog) *backlog {
	return &backlog{most: Backlog{
		Calls: cmp.Or(most.Calls, 256), Bytes: cmp.Or(most.Bytes, 2<<30), Patience: cmp.Or(most.Patience, time.Minute),
	}}
}

// wait returns when the backlog is below its limits. It returns errBacklogFull when no upload ends for Patience.
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

// full returns a channel that is closed when an upload ends, or nil if the backlog is below its limits.
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
