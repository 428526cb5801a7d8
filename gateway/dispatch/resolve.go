package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"

	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
)

const maxOutcome = 4 << 20 // bytes of an outcome.json

// resolver settles calls whose runner is gone.
type resolver struct {
	settler *settler
	objects Objects
	running Running
	log     *slog.Logger
	now     func() time.Time
}

// resolve settles a call whose runner is gone: by outcome.json in the store, else by the reported outcome, else as
// lost. It does nothing if the runner is connected after all. If the store is unavailable, the runner counts as out of
// touch from now on, so that recovery tries again.
func (r *resolver) resolve(ctx context.Context, c *call, l *loss) {
	if _, owned := r.running.Owner(c.id); owned && l.reason == faas.ReasonRunnerLost || c.was(stored) {
		return
	}
	o, err := r.storedOutcome(ctx, c.id, c.record().Attempt)
	if ctx.Err() != nil {
		return // the next gateway resolves it
	}
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		r.log.Warn("reading the outcome of a lost runner failed; retrying", "invocation", c.id, "error", err)
		c.outOfTouch(r.now())
		return
	}
	if err == nil {
		r.settler.end(c, o)
		r.settler.uploaded(c, o)
		return
	}
	if reported := c.outcome(); reported != nil { // by an event, or with the answer
		r.settler.uploaded(c, unstored(reported, c.record().Inner.Accepted))
		return
	}
	r.settler.lose(c, l.reason, l.detail)
}

// unstored is the outcome of a command whose result was lost with its runner. Where the result was promised by id, that
// is a failure.
func unstored(reported *task.Outcome, promised bool) *task.Outcome {
	o := *reported
	if promised && o.Reason == "" && (o.Result == nil || !o.Result.Stored) {
		o.Reason, o.Detail = faas.ReasonStoreUnavailable, "the command succeeded, but its runner ended before the result was stored"
	}
	return &o
}

// storedOutcome reads outcome.json, which a runner writes last.
func (r *resolver) storedOutcome(ctx context.Context, id faas.InvocationID, attempt int) (*task.Outcome, error) {
	body, _, err := r.objects.Get(ctx, objects.Outcome(id, attempt), 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	var o task.Outcome
	if err := json.NewDecoder(io.LimitReader(body, maxOutcome)).Decode(&o); err != nil {
		return nil, err
	}
	return &o, nil
}
