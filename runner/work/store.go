package work

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
	"davit/runner/transfer"
)

const (
	// storeExtra is how long a call's signed URLs are valid after its deadline.
	storeExtra = 5 * time.Minute
	// inputDelay is how long a command runs before its input is uploaded beside it, so
	// that no upload slows down a short call.
	inputDelay = 200 * time.Millisecond
	// ackPatience is how long an outcome that is in the store waits for the Ack of a gateway.
	ackPatience = 30 * time.Second
	// ackSoon is how long the outcome of a call without a promise to keep it waits for an
	// Ack before it is stored: most are settled by then.
	ackSoon = time.Second
)

// Keep keeps the call as task.MustKeep does: the input is stored at once, and the result
// when the call has ended. After the call's end Keep does nothing.
func (c *Call) Keep() {
	c.mu.Lock()
	late := c.ended || !c.accepted
	if !late {
		c.uploads.must = true
	}
	c.mu.Unlock()
	if late {
		return
	}
	if in := c.input.describe(c.task); in.Stored {
		c.w.publish(task.Event{Kind: task.EventInputStored, Invocation: c.id, Input: in})
		return
	}
	c.storeInput()
}

// watchInput stores the input: at once if the call must be kept, else when the command
// has run for inputDelay.
func (c *Call) watchInput() {
	if c.inputFile() == nil || c.input.raw.Size() == 0 {
		return
	}
	switch {
	case c.task.MustKeep:
		c.storeInput()
	case keepsAll(c.task.Keep):
		c.mu.Lock()
		c.uploads.timer = time.AfterFunc(inputDelay, c.storeInput)
		c.mu.Unlock()
	}
}

// storeInput starts the upload of the input, once.
func (c *Call) storeInput() {
	file := c.inputFile()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.uploads.begun || file == nil || file.Size() == 0 {
		return
	}
	c.uploads.begun = true
	c.uploads.done.Add(1)
	if !c.w.background(func() { c.putInput(file) }) {
		c.uploads.done.Done()
	}
}

func (c *Call) putInput(file *scratch.File) {
	defer c.uploads.done.Done()
	ctx, cancel := context.WithDeadline(c.w.life, c.storeDeadlineLater())
	defer cancel()
	if !c.put(ctx, c.task.Put.Input, c.task.Request.ContentType, file, task.PartInput) {
		return
	}
	c.mu.Lock()
	c.uploads.stored = true
	in := *c.record.Input
	in.Stored = true
	c.record.Input = &in
	c.mu.Unlock()
	c.w.publish(task.Event{Kind: task.EventInputStored, Invocation: c.id, Input: &in})
}

// storeDeadlineLater is storeDeadline for a command that may not have started yet.
func (c *Call) storeDeadlineLater() time.Time {
	return c.w.now().Add(c.task.Timeout.Std() + storeExtra)
}

// put uploads one object and reports whether it is stored.
func (c *Call) put(ctx context.Context, to, contentType string, file *scratch.File, what task.PartObject) bool {
	select {
	case c.w.uploads <- struct{}{}:
		defer func() { <-c.w.uploads }()
	case <-ctx.Done():
		return false
	}
	err := c.putObject(ctx, to, contentType, file, what)
	if err != nil {
		c.w.log.Warn("object not stored", "invocation", c.id, "object", what, "error", err)
	}
	return err == nil
}

func (c *Call) putObject(ctx context.Context, to, contentType string, file *scratch.File, what task.PartObject) error {
	if file.Size() > c.w.onePut && c.w.parts != nil {
		err := c.putParts(ctx, file, what)
		if !errors.Is(err, errNoParts) {
			return err
		}
	}
	return c.w.client.Put(ctx, to, transfer.Object{
		Size: file.Size(), ContentType: contentType,
		Open: func() io.ReadCloser { return file.Reader(ctx, 0) },
	})
}

// store uploads the call's objects if the call is kept, and retires the call.
func (c *Call) store() {
	c.mu.Lock()
	o := c.outcome
	if c.uploads.timer != nil {
		c.uploads.timer.Stop()
	}
	c.mu.Unlock()
	deadline := c.storeDeadline()
	patience := max(deadline.Sub(c.w.now()), ackPatience)
	if !c.kept(o) || c.task.Put == (task.Put{}) {
		if c.isSkipped() { // a gateway waits for this event
			c.w.publish(task.Event{Kind: task.EventStored, Invocation: c.id, Outcome: o})
		}
		c.retire(patience, c.expire)
		return
	}
	ctx, cancel := context.WithDeadline(c.w.life, deadline)
	defer cancel()
	stored := c.storeAll(ctx, o)
	c.mu.Lock()
	c.outcome = stored
	c.mu.Unlock()
	if !c.isPromised() {
		c.w.publish(task.Event{Kind: task.EventStored, Invocation: c.id, Outcome: stored})
		c.retire(ackSoon, func() { c.retire(c.storeOutcome(stored, deadline, patience), c.expire) })
		return
	}
	patience = c.storeOutcome(stored, deadline, patience)
	c.w.publish(task.Event{Kind: task.EventStored, Invocation: c.id, Outcome: stored})
	c.retire(patience, c.expire)
}

// storeOutcome stores the outcome, for a gateway that no longer finds the call on the
// runner. It returns how long to wait for an Ack.
func (c *Call) storeOutcome(o *task.Outcome, deadline time.Time, patience time.Duration) time.Duration {
	ctx, cancel := context.WithDeadline(c.w.life, deadline)
	defer cancel()
	if c.putOutcome(ctx, o) {
		return ackPatience
	}
	return patience
}

// storeAll uploads input, result and log. It returns the outcome, changed to say which
// of them are stored.
func (c *Call) storeAll(ctx context.Context, o *task.Outcome) *task.Outcome {
	begun := c.w.now()
	stored := *o
	whole := true
	c.storeInput() //nolint:contextcheck // the upload may have started before, with a deadline of its own
	if in := *o.Input; !in.Stored {
		in.Stored = c.inputStored()
		whole = in.Stored
		stored.Input = &in
	}
	if o.Result != nil && c.answer.zip != nil && c.task.Put.Result != "" {
		r := *o.Result
		r.Stored = c.put(ctx, c.task.Put.Result, "application/zip", c.answer.zip, task.PartResult)
		whole = whole && r.Stored
		stored.Result = &r
	}
	if o.LogSize > 0 && c.task.Put.Log != "" {
		stored.LogStored = c.put(ctx, c.task.Put.Log, "text/plain; charset=utf-8", c.log, task.PartLog)
	}
	stored.Phases.Store = faas.Duration(c.w.now().Sub(begun))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !whole && c.mustKeep() && stored.Reason == "" {
		stored.Reason, stored.Detail = faas.ReasonStoreUnavailable, "the command ended well, but input and result cannot be stored"
	}
	return &stored
}

// inputStored waits for the input's upload.
func (c *Call) inputStored() bool {
	c.uploads.done.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uploads.stored
}

// putOutcome stores the outcome. It is the last object of a call, so that a gateway that
// finds it finds the others, too.
func (c *Call) putOutcome(ctx context.Context, o *task.Outcome) bool {
	if c.task.Put.Outcome == "" {
		return false
	}
	b, err := json.Marshal(o)
	if err != nil {
		c.w.log.Error("outcome cannot be written", "invocation", c.id, "error", err)
		return false
	}
	file := scratch.New(c.w.scratch)
	defer file.Release()
	_, _ = file.Write(b) // put returns its error
	file.Finish()
	return c.put(ctx, c.task.Put.Outcome, "application/json", file, "outcome")
}

// errFetch says that the input cannot be read from the store.
var errFetch = errors.New("fetch input")

// fetch downloads an input that is in the store and parses it into the workspace.
func (c *Call) fetch() error {
	begun := c.w.now()
	ctx, cancel := context.WithDeadline(c.life, begun.Add(c.task.Timeout.Std()))
	defer cancel()
	var file *scratch.File
	err := c.w.client.Get(ctx, c.task.InputURL, func() io.Writer {
		if file != nil {
			file.Release()
		}
		file = scratch.New(c.w.scratch)
		return file
	})
	if file != nil {
		defer file.Release()
	}
	if err != nil {
		return errors.Join(errFetch, err)
	}
	file.Finish()
	got := fetched{size: file.Size(), sum: file.SHA256()}
	if want := c.task.Record.Input; want != nil && want.SHA256 != "" && want.SHA256 != got.sum {
		return errors.Join(errFetch, errors.New("its SHA-256 is not the record's"))
	}
	from := file.Reader(ctx, 0)
	defer func() { _ = from.Close() }()
	fault, err := c.parse(from)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.input.raw, c.input.sum, c.input.fault = got, got.sum, fault
	c.record.Phases.Input += faas.Duration(c.w.now().Sub(begun))
	return nil
}

// fetched describes an input that was fetched from the store.
type fetched struct {
	size int64
	sum  string
}

// Write implements sink. It writes nothing.
func (f fetched) Write(p []byte) (int, error) { return len(p), nil }

// Size returns the input's size in bytes.
func (f fetched) Size() int64 { return f.size }

// SHA256 returns the input's hex SHA-256.
func (f fetched) SHA256() string { return f.sum }

// storeDeadline returns when uploads are given up: the signed URLs end then, too.
func (c *Call) storeDeadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started.Add(c.task.Timeout.Std() + storeExtra)
}
