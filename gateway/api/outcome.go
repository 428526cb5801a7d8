package api

import (
	"strconv"

	"davit/gateway/edge"
	"davit/internal/faas"
)

// setOutcome sets the headers of an answer about inv; nil sets none.
func setOutcome(r *edge.Request, inv *faas.Invocation) {
	if inv == nil {
		return
	}
	r.Set("Davit-Invocation", string(inv.ID))
	if inv.ExitCode != nil {
		r.Set("Davit-Exit-Code", strconv.Itoa(*inv.ExitCode))
	}
	if inv.Reason != nil {
		r.Set("Davit-Reason", string(*inv.Reason))
	}
	if inv.Start != "" {
		r.Set("Davit-Start", string(inv.Start))
	}
	if timing := serverTiming(&inv.Phases); timing != "" {
		r.Set("Server-Timing", timing)
	}
}
