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
	slowFrom   = 64 << 10 // bytes of an answer that may have to wait for a slow reader
)

// answer waits for the call's outcome and sends it with its result. An answer that
// cannot be completed ends the connection, or the stream.
func (l *lot) answer(w http.ResponseWriter, r *http.Request, call Call) {
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
		l.log.Debug("no answer", "cause", err)
		panic(http.ErrAbortHandler)
	}
	if err := l.send(w, r, a); err != nil {
		l.log.Info("answer broke off", "cause", err)
		panic(http.ErrAbortHandler)
	}
}

func (l *lot) send(w http.ResponseWriter, r *http.Request, a *Answer) (err error) {
	if a.Body != nil {
		defer func() { err = errors.Join(err, a.Body.Close()) }()
	}
	outcome, err := a.Outcome.Header()
	if err != nil {
		return err
	}
	head := w.Header()
	head["Date"], head["Content-Type"] = nil, nil // nobody reads them
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

// copyResult sends what the body gives as soon as it gives it.
func (l *lot) copyResult(w http.ResponseWriter, r *http.Request, body io.Reader) error {
	flusher := http.NewResponseController(w)
	pooled, _ := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(pooled)
	buf := *pooled
	sent := 0
	for {
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
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if e, ok := body.(interface{ AtEnd() bool }); ok && e.AtEnd() {
			continue // what follows at once goes out with it
		}
		if err := flusher.Flush(); err != nil {
			return err
		}
	}
}

// patience lets a slot's connection bear a slow reader until what it returns is called.
func patience(r *http.Request) func() {
	c, ok := r.Context().Value(connKey{}).(*parkedConn)
	if !ok {
		return func() {}
	}
	_ = sock.UserTimeout(c.Conn, sock.SlowAfter) // else the usual one holds
	return func() { _ = sock.UserTimeout(c.Conn, sock.DeadAfter) }
}
