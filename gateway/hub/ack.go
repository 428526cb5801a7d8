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

// AckAll is Ack for many invocations, with one request a runner. Its error tells
// of runners that did not hear it; they say again what they hold when they join.
func (h *Hub) AckAll(ctx context.Context, ids []faas.InvocationID) error {
	byRunner := make(map[*control][]faas.InvocationID)
	h.mu.Lock()
	for _, id := range ids {
		if _, c := h.connectedHolder(id); c != nil {
			byRunner[c] = append(byRunner[c], id)
		}
	}
	h.mu.Unlock()
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
