package dispatch

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"davit/gateway/hub"
	"davit/internal/blob"
	"davit/internal/faas"
)

const (
	youngFor     = 5 * time.Second        // a record this young may still be on its way to Redis
	youngPoll    = 25 * time.Millisecond  // how often it is looked for
	youngTries   = 40                     // and how many times
	waitPoll     = 500 * time.Millisecond // for records that another gateway leads
	settleSoon   = 2 * time.Second        // within which an answered call is settled
	settleBrief  = 150 * time.Millisecond // within which other gateways hear of an end
	listPatience = time.Second            // of a list for ends that callers know of already
	uploadWait   = 30 * time.Second       // for an upload under way
	logPoll      = 100 * time.Millisecond // for a log that is not there yet
)

// Find returns an invocation's record. With wait > 0 it waits until that is final, at most so long.
func (d *Dispatcher) Find(ctx context.Context, id faas.InvocationID, wait time.Duration) (*faas.Invocation, error) {
	if c := d.find(id); c != nil && c.hasAnswered() && wait < settleSoon {
		wait = settleSoon // its caller has the result: what it reads next is to agree with that
	}
	inv, err := d.record(ctx, id)
	if err != nil || wait <= 0 {
		return inv, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for !inv.State.Final() {
		heard := d.whenSettled()
		if inv, err = d.now(ctx, id, inv); err != nil || inv.State.Final() {
			return inv, err
		}
		select {
		case <-ctx.Done():
			return inv, nil
		case <-heard:
		case <-time.After(waitPoll):
		}
	}
	return inv, nil
}

// now is record, or the last known one when the wait for a newer one is over.
func (d *Dispatcher) now(ctx context.Context, id faas.InvocationID, last *faas.Invocation) (*faas.Invocation, error) {
	inv, err := d.record(ctx, id)
	if err != nil && ctx.Err() != nil {
		return last, nil
	}
	return inv, err
}

// Heard tells that an invocation changed somewhere: those who wait for one look again.
func (d *Dispatcher) Heard() { d.announce() }

// PlaceHeard tells that a place was given back: who waits for one tries again.
func (d *Dispatcher) PlaceHeard() {
	d.announce()
	d.scaler.roomHeard()
}

// record returns the newest record: this gateway's own while it leads the call, else Redis's.
func (d *Dispatcher) record(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	for try := 0; ; try++ {
		if c := d.find(id); c != nil && c.known() {
			return c.snapshot(), nil
		}
		inv, err := d.Records.FindInvocation(ctx, id)
		if err == nil || faas.KindOf(err) != faas.NotFound || try == youngTries || d.age(id) > youngFor {
			return inv, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(youngPoll):
		}
	}
}

// known reports whether others may know of the call.
func (c *call) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reported
}

func (c *call) hasAnswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcome != nil && !c.inv.Inner.Accepted
}

// age is how long ago the id was made, by its own clock.
func (d *Dispatcher) age(id faas.InvocationID) time.Duration {
	return d.Now().Sub(id.CreatedAt())
}

// List returns records, newest first, and the cursor of the next page. While
// Redis is well, every call that this gateway has answered is among them.
func (d *Dispatcher) List(ctx context.Context, f faas.InvocationFilter) ([]*faas.Invocation, string, error) {
	if f.State != "" {
		d.awaitEnds(ctx)
	}
	d.recorder.caughtUp(ctx, settleSoon)
	items, next, err := d.Archive.ListInvocations(ctx, f)
	kept := items[:0]
	for _, inv := range items {
		if c := d.find(inv.ID); c != nil {
			inv = c.latest()
		}
		if f.State == "" || f.State == inv.State {
			kept = append(kept, inv)
		}
	}
	return kept, next, err
}

// awaitEnds waits until the runners' events have told what their answers to
// callers have told already: lists by state read Redis's index of states.
func (d *Dispatcher) awaitEnds(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	d.mu.Lock()
	var ending []*call
	for _, c := range d.calls {
		if c.hasAnswered() && !c.ended.isSet() {
			ending = append(ending, c)
		}
	}
	d.mu.Unlock()
	for _, c := range ending {
		select {
		case <-c.ended.done:
		case <-ctx.Done():
			return
		}
	}
}

// latest is the record as it will be in Redis in a moment.
func (c *call) latest() *faas.Invocation {
	if o := c.outcomeKnown(); o != nil && c.hasAnswered() {
		return c.snapshotWith(o)
	}
	return c.snapshot()
}

// Object is something of an invocation that lies in the store.
type Object struct {
	Invocation *faas.Invocation
	Key        blob.Key
	Info       blob.Info
	store      blob.Store
}

// Open reads length bytes from offset on; length -1 reads to the end.
func (o *Object) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	r, _, err := o.store.Get(ctx, o.Key, offset, length)
	if err != nil {
		return nil, unavailable("the store does not give the object now", err)
	}
	return r, nil
}

// Result finds an invocation's zip in the store; it waits for an upload under
// way. Gone: it was not kept, or has expired. Conflict: there is none yet, or never will be.
func (d *Dispatcher) Result(ctx context.Context, id faas.InvocationID) (*Object, error) {
	inv, err := d.awaitStored(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case !inv.State.Final():
		return nil, &faas.Error{Kind: faas.Conflict, Detail: "the invocation has not ended yet: " + string(inv.State) + "; ask again with ?wait= on its record", Invocation: inv, RetryAfter: time.Second}
	case inv.Result == nil:
		return nil, &faas.Error{Kind: faas.NotFound, Detail: "the invocation left no result: " + string(inv.State), Invocation: inv}
	case expired(inv, d.Now()):
		return nil, &faas.Error{Kind: faas.Gone, Detail: "the result has expired (the trigger's retention)", Invocation: inv}
	case !inv.Result.Stored:
		return nil, &faas.Error{Kind: faas.Gone, Detail: "the result was not kept (the trigger's keep) or could not be stored", Invocation: inv}
	}
	return d.object(ctx, inv, resultKey(id, inv.Attempt), inv.Result.Size)
}

func expired(inv *faas.Invocation, now time.Time) bool {
	return inv.Result.ExpiresAt != nil && now.After(*inv.Result.ExpiresAt)
}

// object finds an object that is whole; a store may take a part for the whole.
func (d *Dispatcher) object(ctx context.Context, inv *faas.Invocation, key blob.Key, size int64) (*Object, error) {
	info, err := d.Objects.Stat(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return nil, &faas.Error{Kind: faas.Gone, Detail: "it is no longer in the store", Invocation: inv}
	case err != nil:
		d.Meter.StoreError("objects")
		return nil, unavailable("the store does not answer", err)
	case info.Size != size:
		return nil, &faas.Error{Kind: faas.Gone, Detail: "what is in the store is not whole", Invocation: inv}
	}
	return &Object{Invocation: inv, Key: key, Info: info, store: d.Objects}, nil
}

// awaitStored waits while the runner still uploads, whichever gateway leads it.
func (d *Dispatcher) awaitStored(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	inv, err := d.Find(ctx, id, settleBrief)
	if err != nil {
		return nil, err
	}
	for end := d.Now().Add(uploadWait); d.uploading(inv); {
		if d.Now().After(end) {
			return nil, &faas.Error{Kind: faas.Unavailable, Detail: "the result is still being uploaded", RetryAfter: 2 * time.Second, Invocation: inv}
		}
		heard := d.whenSettled()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-heard:
		case <-time.After(youngPoll):
		}
		if inv, err = d.record(ctx, id); err != nil {
			return nil, err
		}
	}
	return inv, nil
}

// uploading reports whether the command has ended and what it left may still be on its way.
func (d *Dispatcher) uploading(inv *faas.Invocation) bool {
	if c := d.find(inv.ID); c != nil {
		return c.ended.isSet() && (!c.stored.isSet() || !c.isFinal())
	}
	if f := d.overheard(inv.ID); f != nil && f.outcome != nil && !inv.State.Final() {
		return true
	}
	kept := inv.Inner == nil || inv.Inner.Keep == faas.KeepAll || inv.Inner.Keep == faas.KeepFailed && inv.State != faas.Succeeded || inv.Inner.Accepted
	return inv.State.Final() && kept && inv.Result != nil && !inv.Result.Stored &&
		inv.EndedAt != nil && d.Now().Sub(*inv.EndedAt) < youngFor
}

// ResultURL signs a URL of the store for the zip.
func (d *Dispatcher) ResultURL(ctx context.Context, id faas.InvocationID, ttl time.Duration) (string, error) {
	o, err := d.Result(ctx, id)
	if err != nil {
		return "", err
	}
	url, err := d.Signer.SignGet(ctx, o.Key, ttl, blob.SignOptions{Filename: string(o.Invocation.Trigger) + ".zip", ContentType: "application/zip"})
	if err != nil {
		return "", unavailable("the URL cannot be signed", err)
	}
	return url, nil
}

// Input finds what the caller sent, as it was received.
func (d *Dispatcher) Input(ctx context.Context, id faas.InvocationID) (*Object, error) {
	inv, err := d.awaitStored(ctx, id)
	if err != nil {
		return nil, err
	}
	if inv.Input == nil || inv.Input.Size == 0 {
		return nil, &faas.Error{Kind: faas.NotFound, Detail: "the call had no input", Invocation: inv}
	}
	if !inv.Input.Stored {
		return nil, &faas.Error{Kind: faas.Gone, Detail: "the input was not kept (the trigger's keep)", Invocation: inv}
	}
	return d.object(ctx, inv, inputKey(id), inv.Input.Size)
}

// Log returns stdout and stderr as written, from that byte on: what is there
// now, or with follow to the invocation's end, from queued on.
func (d *Dispatcher) Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error) {
	for {
		heard := d.whenSettled()
		r, err := d.logNow(ctx, id, from, follow)
		if r != nil || err != nil {
			return r, err
		}
		if !follow {
			return io.NopCloser(strings.NewReader("")), nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-heard:
		case <-time.After(logPoll):
		}
	}
}

// logNow returns the log from where it is now: the store or the runner. Nil and no error: there is none yet.
func (d *Dispatcher) logNow(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error) {
	inv, err := d.Find(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	if inv.Inner != nil && inv.Inner.LogStored {
		return d.storedLog(ctx, inv, from)
	}
	r, err := d.hub.Log(ctx, id, from, follow)
	switch {
	case err == nil:
		return r, nil
	case inv.State.Final() || d.uploading(inv):
		if inv, err = d.awaitStored(ctx, id); err != nil {
			return nil, err
		}
		return d.storedLog(ctx, inv, from)
	case errors.Is(err, hub.ErrAway), errors.Is(err, hub.ErrGone):
		return nil, nil //nolint:nilnil // there is none yet, and that is no error
	}
	return nil, unavailable("the runner does not give its log", err)
}

func (d *Dispatcher) storedLog(ctx context.Context, inv *faas.Invocation, from int64) (io.ReadCloser, error) {
	if inv.Inner == nil || !inv.Inner.LogStored || from >= inv.Inner.LogSize {
		return io.NopCloser(strings.NewReader("")), nil
	}
	r, _, err := d.Objects.Get(ctx, logKey(inv.ID, inv.Attempt), from, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, &faas.Error{Kind: faas.Gone, Detail: "the log has expired (the trigger's retention)", Invocation: inv}
	}
	if err != nil {
		return nil, unavailable("the store does not give the log", err)
	}
	return r, nil
}
