package park

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"davit/internal/sock"
	"davit/internal/task"
)

const (
	copyBuffer = 32 << 10
	slowFrom   = 64 << 10 // bytes of an answer from which the gateway may read slowly
)

// answer waits for the call's outcome and sends it with its result. An answer that cannot be completed ends the
// connection, or the stream.
func (l *connections) answer(w http.ResponseWriter, r *http.Request, call Call) {
	l.mu.Lock()
	l.answers++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.answers--
		l.mu.Unlock()
		l.wake()
	}()
	a, err := call.Answer(r.Context())
	if err != nil {
		l.log.Debug("no answer", "error", err)
		panic(http.ErrAbortHandler)
	}
	if err := l.send(w, r, a); err != nil {
		l.log.Info("answer not sent completely", "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (l *connections) send(w http.ResponseWriter, r *http.Request, a *Answer) (err error) {
	if a.Body != nil {
		defer func() { err = errors.Join(err, a.Body.Close()) }()
	}
	outcome, err := a.Outcome.Header()
	if err != nil {
		return err
	}
	head := w.Header()
	head["Date"], head["Content-Type"] = nil, nil // no gateway reads them
	head.Set(task.HeaderOutcome, outcome)
	if a.Body == nil || a.Outcome.Reason != "" {
		head.Set("Content-Length", "0")
		return nil
	}
	head.Set(task.HeaderBody, a.Kind)
	if a.Filename != "" {
		head.Set(task.HeaderFilename, url.PathEscape(a.Filename))
	}
	head.Set("Trailer", task.HeaderSHA256+", "+task.HeaderSize)
	if err := l.copyResult(w, r, a.Body); err != nil {
		return err
	}
	size, sum := a.Body.Sum()
	head.Set(task.HeaderSize, strconv.FormatInt(size, 10))
	head.Set(task.HeaderSHA256, sum)
	return nil
}

// copyResult sends the body, and flushes after each Read unless the body is at its end.
func (l *connections) copyResult(w http.ResponseWriter, r *http.Request, body io.Reader) error {
	flusher := http.NewResponseController(w)
	pooled, _ := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(pooled)
	buf := *pooled
	for sent := 0; ; {
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return werr
			}
			if before := sent; before <= slowFrom && before+n > slowFrom {
				defer patience(r)()
			}
			sent += n
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case atEnd(body): // the trailers are sent with the last bytes
		default:
			err = flusher.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// atEnd reports whether the next Read is certain to return io.EOF.
func atEnd(body io.Reader) bool {
	e, ok := body.(interface{ AtEnd() bool })
	return ok && e.AtEnd()
}

// patience raises the timeout of a slot's connection for a slow reader, until the returned function is called.
func patience(r *http.Request) func() {
	c, ok := r.Context().Value(connKey{}).(*parkedConn)
	if !ok {
		return func() {}
	}
	_ = sock.UserTimeout(c.Conn, sock.SlowAfter) // after an error the usual timeout stays
	return func() { _ = sock.UserTimeout(c.Conn, sock.DeadAfter) }
}
