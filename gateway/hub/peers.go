package hub

import (
	"encoding/json"
	"net/http"
	"slices"

	"davit/internal/task"
)

// sendFirstPeers sends the peers to a runner that just joined.
func (h *Hub) sendFirstPeers(c *control) {
	var asked []string
	if h.opts.Peers != nil {
		asked = h.opts.Peers()
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if h.roster.edition == 0 && len(asked) > 0 {
		h.roster.peers, h.roster.edition = asked, 1
	}
	h.sendPeers(c)
}

// sendPeers sends the current peers to the runner, unless another sendPeers does that already. The caller holds
// roster.mu.
func (h *Hub) sendPeers(c *control) {
	if h.roster.closed || c.sendingPeers {
		return
	}
	c.sendingPeers = true
	h.group.Go(func() {
		for {
			peers, more := h.nextPeers(c)
			if !more {
				return
			}
			body, err := json.Marshal(peers)
			if err == nil {
				err = c.order(h.life, http.MethodPut, task.PathPeers, body)
			}
			if err != nil && h.life.Err() == nil {
				h.log.Info("peers not sent", "error", err) // they are sent again when the runner dials in again
			}
		}
	})
}

// nextPeers returns the peers to send next, or false when the runner has the current ones.
func (h *Hub) nextPeers(c *control) ([]string, bool) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if c.sentEdition == h.roster.edition {
		c.sendingPeers = false
		return nil, false
	}
	c.sentEdition = h.roster.edition
	return h.roster.peers, true
}

// SetPeers sets the runner addresses (host:port) of all live gateways. The hub sends them to every runner that is
// connected or joins later; a runner dials in at each.
func (h *Hub) SetPeers(peers []string) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if h.roster.edition > 0 && slices.Equal(h.roster.peers, peers) {
		return
	}
	h.roster.peers = slices.Clone(peers)
	h.roster.edition++
	for _, r := range h.roster.runners {
		if r.control != nil {
			h.sendPeers(r.control)
		}
	}
}
