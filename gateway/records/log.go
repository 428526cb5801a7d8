package records

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"davit/gateway/hub"
	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
)

// Log returns stdout and stderr as written, from that byte on: what there is now, or with follow up to the invocation's
// end, also if it is still queued. Reads end when ctx does.
func (r *Reader) Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error) {
	for {
		changed := r.o.Calls.Changed()
		body, err := r.logNow(ctx, id, from, follow)
		if body != nil || err != nil {
			return body, err
		}
		if !follow {
			return nothing(), nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-time.After(logPoll):
		}
	}
}

// logNow returns the log from the store or the runner. Nil without an error: there is none yet.
func (r *Reader) logNow(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error) {
	inv, err := r.Find(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	if inv.Inner != nil && inv.Inner.LogStored {
		return r.storedLog(ctx, inv, from)
	}
	body, err := r.o.Logs.Log(ctx, id, from, follow)
	switch {
	case err == nil:
		return body, nil
	case inv.State.Final() || r.isUploading(inv):
		if inv, err = r.awaitStored(ctx, id); err != nil {
			return nil, err
		}
		return r.storedLog(ctx, inv, from)
	case errors.Is(err, hub.ErrAway), errors.Is(err, hub.ErrGone):
		return nil, nil //nolint:nilnil // there is none yet, and that is no error
	}
	return nil, unavailable("the runner does not give its log", err)
}

func (r *Reader) storedLog(ctx context.Context, inv *faas.Invocation, from int64) (io.ReadCloser, error) {
	if inv.Inner == nil || !inv.Inner.LogStored || from >= inv.Inner.LogSize {
		return nothing(), nil
	}
	body, _, err := r.o.Objects.Get(ctx, objects.Log(inv.ID, inv.Attempt), from, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, &faas.Error{Kind: faas.Gone, Detail: "the log has expired (the trigger's retention)", Invocation: inv}
	}
	if err != nil {
		return nil, unavailable("the store does not give the log", err)
	}
	return body, nil
}

func nothing() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }
