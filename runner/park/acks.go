package park

import (
	"encoding/json"
	"io"
	"net/http"

	"davit/internal/faas"
)

// maxAcks is the most bytes that a list of acknowledgements may have.
const maxAcks = 1 << 20

// serveAcks acknowledges all calls of a list: a gateway has settled their outcomes.
func (l *connections) serveAcks(w http.ResponseWriter, r *http.Request) {
	var ids []faas.InvocationID
	if err := json.NewDecoder(io.LimitReader(r.Body, maxAcks)).Decode(&ids); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, id := range ids {
		if call, held := l.worker.Find(id); held {
			call.Ack()
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
