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

// Attach waits until a connected runner owns the invocation, and then for the invocation's outcome. ctx bounds both
// waits, not the reading of the answer's body. Attach may be called several times for one invocation. ErrGone: the
// runner does not own the invocation any more, because the invocation was acknowledged, or released before its commit
// was complete.
func (h *Hub) Attach(ctx context.Context, id faas.InvocationID) (*Answer, error) {
	for {
		r, c, err := h.roster.waitForOwner(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("attach to %s: %w", id, err)
		}
		ans, err := h.attach(ctx, r, c, id)
		switch {
		case err == nil:
			h.roster.clearInDoubt(id)
			return ans, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("attach to %s: %w", id, ctx.Err())
		case !errors.Is(err, ErrAway):
			h.roster.clearInDoubt(id)
			return nil, fmt.Errorf("attach to %s: %w", id, err)
		}
		select { // the runner may dial in again at once, with a connection that breaks again
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

// clearInDoubt forgets that the invocation is in doubt, because its runner has answered.
func (o *roster) clearInDoubt(id faas.InvocationID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.inDoubt, id)
}

// open sends a request. The response's body may be read after ctx has ended, until release is called.
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
