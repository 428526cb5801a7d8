package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"
)

// Admission is the network plugin's request for a pod that got an address.
type Admission struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Address   netip.Addr `json:"address"`
}

// Admitter admits new pods. Admit returns when the pod may start.
type Admitter interface {
	Admit(ctx context.Context, namespace, name string, address netip.Addr) error
}

// Hook returns the handler for a POST of an [Admission]. It answers 204 when the pod's policies are in force.
func Hook(admitter Admitter) http.Handler {
	const atMost = 20 * time.Second
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var pod Admission
		if err := json.NewDecoder(r.Body).Decode(&pod); err != nil {
			http.Error(w, fmt.Sprintf("read the pod: %v", err), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), atMost)
		defer cancel()
		if err := admitter.Admit(ctx, pod.Namespace, pod.Name, pod.Address); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
