package hub

import (
	"context"
	"net/http"

	"davit/internal/faas"
)

// Waiting returns how many claims wait for the revision.
func (h *Hub) Waiting(ref faas.RevisionRef) int {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if p := h.roster.pools[ref]; p != nil {
		return p.waiters
	}
	return 0
}

// Ack acknowledges one invocation. ErrAway, ErrGone.
func (h *Hub) Ack(ctx context.Context, id faas.InvocationID) error {
	return h.orderFor(ctx, "acknowledge", http.MethodPost, id, "/ack")
}
