package records

import (
	"context"
	"errors"
	"io"
	"time"

	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
)

// Result finds an invocation's zip in the store; it waits for an upload under way. Gone: it was not kept, or has
// expired. Conflict: the invocation has not ended. NotFound: it left no result.
func (r *Reader) Result(ctx context.Context, id faas.InvocationID) (blob.Info, blob.Opener, *faas.Invocation, error) {
	inv, err := r.storedResult(ctx, id)
	if err != nil {
		return blob.Info{}, nil, nil, err
	}
	key := objects.Result(id, inv.Attempt)
	info, err := r.object(ctx, inv, key, inv.Result.Size)
	if err != nil {
		return blob.Info{}, nil, nil, err
	}
	open := func(offset, length int64) (io.ReadCloser, error) { return r.open(ctx, key, offset, length) }
	return info, open, inv, nil
}

// storedResult returns the record of an invocation whose result is in the store.
func (r *Reader) storedResult(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	inv, err := r.awaitStored(ctx, id)
	if err != nil {
		return nil, err
	}
	e := &faas.Error{Invocation: inv}
	switch {
	case !inv.State.Final():
		e.Kind, e.RetryAfter = faas.Conflict, time.Second
		e.Detail = "the invocation has not ended yet: " + string(inv.State) + "; ask again with ?wait= on its record"
	case inv.Result == nil:
		e.Kind, e.Detail = faas.NotFound, "the invocation left no result: "+string(inv.State)
	case inv.Result.ExpiresAt != nil && r.o.Now().After(*inv.Result.ExpiresAt):
		e.Kind, e.Detail = faas.Gone, "the result has expired (the trigger's retention)"
	case !inv.Result.Stored:
		e.Kind, e.Detail = faas.Gone, "the result was not kept (the trigger's keep) or could not be stored"
	default:
		return inv, nil
	}
	return nil, e
}

// object returns what the store says of an object that is whole; a store may take a part for the whole.
func (r *Reader) object(ctx context.Context, inv *faas.Invocation, key blob.Key, size int64) (blob.Info, error) {
	info, err := r.o.Objects.Stat(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return blob.Info{}, &faas.Error{Kind: faas.Gone, Detail: "it is no longer in the store", Invocation: inv}
	case err != nil:
		r.o.StoreError("objects")
		return blob.Info{}, unavailable("the store does not answer", err)
	case info.Size != size:
		return blob.Info{}, &faas.Error{Kind: faas.Gone, Detail: "what is in the store is not whole", Invocation: inv}
	}
	return info, nil
}

// open reads length bytes of an object from offset on; length -1 reads to the end.
func (r *Reader) open(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, error) {
	body, _, err := r.o.Objects.Get(ctx, key, offset, length)
	if err != nil {
		return nil, unavailable("the store does not give the object now", err)
	}
	return body, nil
}

// awaitStored returns the record once the runner uploads no more, whichever gateway leads the invocation.
func (r *Reader) awaitStored(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	inv, err := r.Find(ctx, id, settleBrief)
	if err != nil {
		return nil, err
	}
	for end := r.o.Now().Add(uploadWait); r.isUploading(inv); {
		if r.o.Now().After(end) {
			e := faas.UnavailableError("the result is still being uploaded", 2*time.Second, nil)
			e.Invocation = inv
			return nil, e
		}
		changed := r.o.Calls.Changed()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-time.After(youngPoll):
		}
		if inv, err = r.o.Calls.Find(ctx, id); err != nil {
			return nil, err
		}
	}
	return inv, nil
}

// isUploading reports whether the command has ended and its result may still be on its way to the store.
func (r *Reader) isUploading(inv *faas.Invocation) bool {
	if view, leads := r.o.Calls.View(inv.ID); leads {
		return view.Ended && (!view.Stored || !view.Record.State.Final())
	}
	if !inv.State.Final() {
		return r.o.Remote.Ending(inv.ID)
	}
	isYoung := inv.EndedAt != nil && r.o.Now().Sub(*inv.EndedAt) < youngFor
	return isYoung && inv.Result != nil && !inv.Result.Stored && isKept(inv)
}

// isKept reports whether the runner uploads the result of an invocation that has ended.
func isKept(inv *faas.Invocation) bool {
	if inv.Inner == nil || inv.Inner.Accepted {
		return true
	}
	switch inv.Inner.Keep {
	case faas.KeepAll:
		return true
	case faas.KeepFailed:
		return inv.State != faas.Succeeded
	case faas.KeepNone:
	}
	return false
}

// ResultURL signs a URL of the store that anybody may GET the zip with for so long.
func (r *Reader) ResultURL(ctx context.Context, id faas.InvocationID, ttl time.Duration) (string, error) {
	_, _, inv, err := r.Result(ctx, id)
	if err != nil {
		return "", err
	}
	url, err := r.o.Signer.SignGet(ctx, objects.Result(id, inv.Attempt), ttl, blob.SignOptions{Filename: string(inv.Trigger) + ".zip", ContentType: "application/zip"})
	if err != nil {
		return "", unavailable("the URL cannot be signed", err)
	}
	return url, nil
}

// Input finds what the caller sent, as it was received. NotFound: the call had none. Gone: it was not kept.
func (r *Reader) Input(ctx context.Context, id faas.InvocationID) (blob.Info, io.ReadCloser, error) {
	inv, err := r.awaitStored(ctx, id)
	if err != nil {
		return blob.Info{}, nil, err
	}
	if inv.Input == nil || inv.Input.Size == 0 {
		return blob.Info{}, nil, &faas.Error{Kind: faas.NotFound, Detail: "the call had no input", Invocation: inv}
	}
	if !inv.Input.Stored {
		return blob.Info{}, nil, &faas.Error{Kind: faas.Gone, Detail: "the input was not kept (the trigger's keep)", Invocation: inv}
	}
	info, err := r.object(ctx, inv, objects.Input(id), inv.Input.Size)
	if err != nil {
		return blob.Info{}, nil, err
	}
	info.ContentType = inv.Input.ContentType
	body, err := r.open(ctx, objects.Input(id), 0, -1)
	return info, body, err
}
