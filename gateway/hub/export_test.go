package hub

import "davit/internal/faas"

// Waiting returns how many claims wait for the revision.
func (h *Hub) Waiting(ref faas.RevisionRef) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.pools[ref]; p != nil {
		return p.waiters
	}
	return 0
}
