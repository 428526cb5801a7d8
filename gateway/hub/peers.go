package hub

import (
	"encoding/json"
	"net/http"
	"slices"

	"davit/internal/task"
)

// tellFirst has a runner that just joined told the peers.
func (h *Hub) tellFirst(c *control) {
	var asked []string
	if h.opts.Peers != nil {
		asked = h.opts.Peers()
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if h.roster.edition == 0 && len(asked) > 0 {
		h.roster.peers, h.roster.edition = asked, 1
	}
	h.tellPeers(c)
}

// tellPeers has the runner told the current peers, unless that is under way. Hub.mu is held.
func (h *Hub) tellPeers(c *control) {
	if h.roster.closed || c.telling {
		return
	}
	c.telling = true
	h.group.Go(func() {
		for {
			peers, more := h.untold(c)
			if !more {
				return
			}
			body, err := json.Marshal(peers)
			if err == nil {
				err = c.order(h.life, http.MethodPut, task.PathPeers, body)
			}
			if err != nil && h.life.Err() == nil {
				h.log.Info("peers not told", "cause", err) // a runner that dials in again is
			}
		}
	})
}

// untold returns the peers that the runner is still to be told of.
func (h *Hub) untold(c *control) ([]string, bool) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if c.told == h.roster.edition {
		c.telling = false
		return nil, false
	}
	c.told = h.roster.edition
	return h.roster.peers, true
}

// SetPeers says which runner addresses (host:port) all live gateways have. Runners are
// told, those that join later, too; they dial in at every one.
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
			h.tellPeers(r.control)
		}
	}
}
