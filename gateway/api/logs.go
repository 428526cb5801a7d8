package api

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"davit/internal/faas"
)

// logRequest says what of a log is wanted.
type logRequest struct {
	ctx    context.Context //nolint:containedctx // of the reader, which outlives the call that opens it
	from   int64
	follow bool
}

// sendLog answers with a log that open opens: as plain text, or as events that
// resume by Last-Event-ID.
func (r *request) sendLog(from int64, follow bool, open func(logRequest) (io.ReadCloser, error)) error {
	events := r.accepts(eventsType)
	if last := r.header("Last-Event-Id"); events && last != "" {
		at, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return faas.Errorf(faas.Invalid, "the Last-Event-ID %q is no offset", clip(last, 40))
		}
		from = int64(at) //nolint:gosec // at most 63 bits
	}
	ctx, cancel := r.streamContext()
	text, err := open(logRequest{ctx, from, follow})
	if err != nil {
		cancel()
		return err
	}
	body := newClosing(text, cancel)
	if events {
		return r.sendLogEvents(body, from)
	}
	h := r.respond()
	h.SetContentType("text/plain; charset=utf-8")
	h.Set("Content-Security-Policy", filePolicy)
	h.Set("Cache-Control", "no-store")
	if !follow {
		return r.sendPeeked(body)
	}
	r.sendFollowed(body)
	return nil
}

// skip reads over the first n bytes of a log that can only be opened at its beginning.
func skip(log io.ReadCloser, n int64) (io.ReadCloser, error) {
	if _, err := io.CopyN(io.Discard, log, n); err != nil && err != io.EOF { //nolint:errorlint // a shorter log is empty from there on
		return nil, fmt.Errorf("read the log up to %d: %w", n, err)
	}
	return log, nil
}
