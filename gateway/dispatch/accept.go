package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
)

// acceptor makes calls durable, so that their callers may be answered 202.
type acceptor struct {
	queue   Queue
	objects Objects
	running Running
	meter   CallMeter
	lease   time.Duration
	now     func() time.Time
}

// stage stores the input, which is in memory or still on the caller's socket. The error is the caller's, if the body
// broke.
func (a *acceptor) stage(ctx context.Context, c *call) error {
	in := &faas.Input{ContentType: c.task.Request.ContentType, Stored: true}
	if c.body.present() {
		r, size := c.body.reader()
		reader := &callerReader{r: r}
		info, err := a.objects.Put(ctx, objects.Input(c.id), reader, size, blob.PutOptions{ContentType: in.ContentType})
		if reader.err != nil {
			return reader.err
		}
		if err != nil {
			a.meter.StoreError("objects")
			return faas.InternalUnavailable(err, "the input cannot be stored now", lostAgain)
		}
		in.Size, in.SHA256 = info.Size, info.SHA256
	}
	c.body = &body{}
	c.change(func(i *faas.Invocation) { i.Input = in })
	return nil
}

// secure waits until the runner has stored the input, and makes it store the result. It reports whether the input is
// stored.
func (a *acceptor) secure(ctx context.Context, c *call) bool {
	if c.task.Keep != faas.KeepAll && a.running.Keep(ctx, c.id) != nil {
		return false
	}
	if !c.body.present() {
		return !c.isDecided()
	}
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.undecided, cancel)() //nolint:contextcheck // the call has a life of its own
	if c.await(wait, c.isInputReported) != nil {
		return false
	}
	return c.isStaged() && !c.isDecided()
}

// enqueue marks the call accepted and writes its record with a lease.
func (a *acceptor) enqueue(ctx context.Context, c *call) error {
	draft := c.snapshot()
	draft.Inner.Accepted = true
	if err := packTask(draft, c.task); err != nil {
		return err
	}
	if err := a.queue.Enqueue(ctx, draft, a.now().Add(a.lease)); err != nil {
		a.meter.StoreError("redis")
		return faas.InternalUnavailable(err, "the record cannot be written now", lostAgain)
	}
	c.change(func(i *faas.Invocation) { i.Inner.Accepted, i.Inner.Task = true, draft.Inner.Task })
	return nil
}

// callerReader keeps the caller's read errors apart from the store's.
type callerReader struct {
	r   io.Reader
	err error
}

func (c *callerReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = fmt.Errorf("read the request body: %w", err)
	}
	return n, err
}
