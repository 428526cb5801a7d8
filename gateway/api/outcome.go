package api

import (
	"strconv"

	"davit/internal/faas"
)

// outcome sets the headers that every answer about an invocation carries.
func (r *request) outcome(inv *faas.Invocation) {
	if inv == nil {
		return
	}
	h := r.respond()
	h.Set("Davit-Invocation", string(inv.ID))
	if inv.ExitCode != nil {
		h.Set("Davit-Exit-Code", strconv.Itoa(*inv.ExitCode))
	}
	if inv.Reason != nil {
		h.Set("Davit-Reason", string(*inv.Reason))
	}
	if inv.Start != "" {
		h.Set("Davit-Start", string(inv.Start))
	}
	if timing := serverTiming(&inv.Phases); timing != "" {
		h.Set("Server-Timing", timing)
	}
}
