package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"davit/internal/faas"
	"davit/internal/task"
)

// AckAll acknowledges invocations, with one request for each runner: the runners forget them. Its error names the
// requests that failed; a runner lists what it still has when it joins again.
func (h *Hub) AckAll(ctx context.Context, ids []faas.InvocationID) error {
	byRunner := make(map[*control][]faas.InvocationID)
	h.roster.mu.Lock()
	for _, id := range ids {
		if _, c := h.roster.connectedOwner(id); c != nil {
			byRunner[c] = append(byRunner[c], id)
		}
	}
	h.roster.mu.Unlock()
	var errs []error
	for c, held := range byRunner {
		body, err := json.Marshal(held)
		if err == nil {
			err = c.order(ctx, http.MethodPost, task.PathAcks, body)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("acknowledge %d invocations: %w", len(held), err))
		}
	}
	return errors.Join(errs...)
}

// settleGone removes the runner as the invocation's owner if err is ErrGone.
func (o *roster) settleGone(r *runner, id faas.InvocationID, err error) {
	if errors.Is(err, ErrGone) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.removeOwner(r, id)
	}
}

// Cancel ends the invocation's command with SIGTERM, and SIGKILL 10 s later. ErrAway, ErrGone.
func (h *Hub) Cancel(ctx context.Context, id faas.InvocationID) error {
	return h.orderFor(ctx, "cancel", http.MethodDelete, id, "")
}

// Keep makes the runner store the invocation's input at once, and later its result even if the trigger does not keep
// results. ErrAway, ErrGone.
func (h *Hub) Keep(ctx context.Context, id faas.InvocationID) error {
	return h.orderFor(ctx, "keep", http.MethodPost, id, "/keep")
}

func (h *Hub) orderFor(ctx context.Context, what, method string, id faas.InvocationID, suffix string) error {
	r, c := h.roster.owner(id)
	if r == nil {
		return fmt.Errorf("%s %s: %w", what, id, ErrAway)
	}
	if err := c.order(ctx, method, task.PathInvocations+string(id)+suffix, nil); err != nil {
		h.roster.settleGone(r, id, err)
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}

// Drain makes a runner take no more calls and end when it is idle. ErrAway: it is not connected.
func (h *Hub) Drain(ctx context.Context, id faas.RunnerID) error {
	h.roster.mu.Lock()
	r := h.roster.runners[id]
	var c *control
	if r != nil && r.control != nil {
		c = r.control
		r.draining = true
		r.pool.updateReady(r)
	}
	h.roster.mu.Unlock()
	if c == nil {
		return fmt.Errorf("drain runner %s: %w", id, ErrAway)
	}
	if err := c.order(ctx, http.MethodPost, task.PathDrain, nil); err != nil {
		return fmt.Errorf("drain runner %s: %w", id, err)
	}
	return nil
}
