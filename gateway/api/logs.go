package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
	"davit/internal/text"
)

// logRequest names the part of a log that the caller requests.
type logRequest struct {
	ctx    context.Context //nolint:containedctx // of the reader, which outlives the call that opens it
	from   int64
	follow bool
}

// sendLog answers with the log that open returns: as plain text, or as events, which a caller resumes with
// Last-Event-ID.
func sendLog(r *edge.Request, heartbeat time.Duration, from int64, follow bool, open func(logRequest) (io.ReadCloser, error)) error {
	events := accepts(r, eventsType)
	if last := r.Header("Last-Event-Id"); events && last != "" {
		at, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return faas.Errorf(faas.Invalid, "the Last-Event-ID %q is no offset", text.Clip(last, 40))
		}
		from = int64(at)
	}
	ctx, cancel := r.WaitingContext()
	text, err := open(logRequest{ctx, from, follow})
	if err != nil {
		cancel()
		return err
	}
	body := newClosing(text, cancel)
	if events {
		return sendLogEvents(r, heartbeat, body, from)
	}
	r.Set("Content-Type", "text/plain; charset=utf-8")
	r.Set("Content-Security-Policy", filePolicy)
	r.Set("Cache-Control", "no-store")
	if !follow {
		return r.StreamPeeked(http.StatusOK, body)
	}
	r.Follow(http.StatusOK, body)
	return nil
}

// skip discards the first n bytes of a log, because a build log can only be opened at its beginning.
func skip(log io.ReadCloser, n int64) (io.ReadCloser, error) {
	if _, err := io.CopyN(io.Discard, log, n); err != nil && err != io.EOF { //nolint:errorlint // a shorter log is empty from there on
		return nil, fmt.Errorf("read the log up to %d: %w", n, err)
	}
	return log, nil
}
