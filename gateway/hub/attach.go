package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// Attach waits until a connected runner holds the invocation and then for its
// outcome, until ctx ends; ctx has no hold on the answer's body. It may be called
// for the same invocation several times. ErrGone: its runner says that it does not
// hold it: it was acknowledged, or given back before its commit was complete.
func (h *Hub) Attach(ctx context.Context, id faas.InvocationID) (*Answer, error) {
	for {
		r, c, err := h.roster.seek(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("attach to %s: %w", id, err)
		}
		ans, err := h.attach(ctx, r, c, id)
		switch {
		case err == nil:
			h.roster.resolve(id)
			return ans, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("attach to %s: %w", id, ctx.Err())
		case !errors.Is(err, ErrAway):
			h.roster.resolve(id)
			return nil, fmt.Errorf("attach to %s: %w", id, err)
		}
		select { // the runner may be back at once, over a connection that does not last either
		case <-c.done:
		case <-ctx.Done():
		case <-time.After(retryAttach):
		}
	}
}

const retryAttach = 100 * time.Millisecond

func (h *Hub) attach(ctx context.Context, r *runner, c *control, id faas.InvocationID) (*Answer, error) {
	resp, release, err := h.open(ctx, c, task.PathInvocations+string(id)) //nolint:bodyclose // the answer closes it
	if err != nil {
		h.roster.settleGone(r, id, err)
		return nil, err
	}
	return newAnswer(resp, r.hello.Runner, func(bool) { release() })
}

// resolve ends the doubt about an invocation that its runner has spoken of.
func (o *roster) resolve(id faas.InvocationID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.doubts, id)
}

// open makes a request whose answer's body outlives ctx: release ends it.
func (h *Hub) open(ctx context.Context, c *control, path string) (resp *http.Response, release func(), err error) {
	own, cancel := context.WithCancel(h.life)
	stop := context.AfterFunc(ctx, cancel)
	resp, err = c.send(own, http.MethodGet, path, nil) //nolint:contextcheck // it outlives ctx
	if err != nil {
		stop()
		cancel()
		return nil, nil, errors.Join(ErrAway, err)
	}
	release = func() { _ = resp.Body.Close(); cancel() }
	if err = statusError(resp); err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return resp, release, nil
}
