package hub

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"davit/internal/faas"
	"davit/internal/task"
)

// Log returns the invocation's log from the byte at offset from on: up to now, or with follow up to the end of the
// invocation. ctx bounds the request, not the reading. The caller closes the log. ErrAway, ErrGone.
func (h *Hub) Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error) {
	r, c := h.roster.owner(id)
	if r == nil {
		return nil, fmt.Errorf("log of %s: %w", id, ErrAway)
	}
	resp, release, err := h.open(ctx, c, task.PathInvocations+string(id)+"/log?from="+strconv.FormatInt(from, 10)+"&follow="+strconv.FormatBool(follow)) //nolint:bodyclose // release does
	if err != nil {
		h.roster.settleGone(r, id, err)
		return nil, fmt.Errorf("log of %s: %w", id, err)
	}
	return &releasing{resp.Body, release}, nil
}

type releasing struct {
	io.Reader
	release func()
}

// Close ends the request.
func (r *releasing) Close() error {
	r.release()
	return nil
}
