package api

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/valyala/fasthttp"
)

// Of an answer whose length nobody knows, so much is read before it begins: a
// small one is known to be whole then, and is sent with its length; and an error
// up to there is still answered as one.
const peekBytes = 32 << 10

// streamed is an answer's body that is written as it comes, by the goroutine
// that serves the connection, after the handler has returned. An error of write
// breaks the connection off, so that what was sent never looks whole.
type streamed struct {
	write func(w io.Writer) error
	close func()
}

// Read is not used: fasthttp calls WriteTo.
func (s *streamed) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// SupportsBodyWriteTo has fasthttp call WriteTo.
func (s *streamed) SupportsBodyWriteTo() bool { return true }

// WriteTo writes the body; each Write that it makes reaches the caller at once.
func (s *streamed) WriteTo(w io.Writer) (int64, error) {
	counted := &countedWriter{w: w}
	err := s.write(counted)
	return counted.n, err
}

// Close is called once the body was written, or is not going to be.
func (s *streamed) Close() error {
	s.close()
	return nil
}

type countedWriter struct {
	w io.Writer
	n int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

var _ fasthttp.BodyWriterTo = (*streamed)(nil)

// sendStream answers with what body holds, size bytes or, with lengthUnknown, as
// many as there are. It closes body.
func (r *request) sendStream(body io.ReadCloser, size int64) {
	buf := r.edge.buffers.get()
	r.sendCopied(buf, 0, body, size)
}

// sendCopied answers with the first n bytes of buf and then with body. It closes
// body and gives buf back.
func (r *request) sendCopied(buf *[]byte, n int, body io.ReadCloser, size int64) {
	r.sendWritten(size, func(w io.Writer) error {
		if n > 0 {
			if _, err := w.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		return r.copyTo(w, body, *buf)
	}, func() {
		_ = body.Close()
		r.edge.buffers.put(buf)
	})
}

func (r *request) copyTo(w io.Writer, body io.Reader, buf []byte) error {
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err // the caller is gone
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if r.conn.ctx.Err() == nil && r.edge.draining.Err() == nil {
				r.edge.log.Warn("answer broken off", "listener", r.edge.name, "request_id", r.id, "route", r.route, "cause", err)
			}
			return err
		}
	}
}

func (r *request) sendWritten(size int64, write func(io.Writer) error, done func()) {
	r.known = size >= 0
	r.http.Response.SetBodyStream(&streamed{write: write, close: sync.OnceFunc(done)}, int(size))
}

// sendFollowed answers with a body that comes over time: the headers go ahead of it.
func (r *request) sendFollowed(body io.ReadCloser) {
	r.http.Response.ImmediateHeaderFlush = true
	r.sendStream(body, lengthUnknown)
}

// sendPeeked answers with a body of unknown length; see peekBytes. It closes body.
func (r *request) sendPeeked(body io.ReadCloser) error {
	buf := r.edge.buffers.get()
	n, err := readUpTo(body, (*buf)[:peekBytes])
	switch {
	case err == nil:
		r.sendCopied(buf, n, body, lengthUnknown)
		return nil
	case errors.Is(err, io.EOF):
		r.http.Response.SetBody((*buf)[:n])
		err = nil
	}
	r.edge.buffers.put(buf)
	return errors.Join(err, body.Close())
}

// readUpTo fills p, or tells with io.EOF that r holds less; unlike io.ReadFull
// it leaves r's own errors as they are.
func readUpTo(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

// streamContext ends when the caller hangs up, when the server drains, and with cancel.
func (r *request) streamContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.conn.ctx)
	stop := context.AfterFunc(r.edge.draining, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// closing closes a reader once and then ends its context.
type closing struct {
	io.Reader
	close func() error
}

func newClosing(body io.ReadCloser, cancel context.CancelFunc) *closing {
	return &closing{body, sync.OnceValue(func() error {
		defer cancel()
		return body.Close()
	})}
}

// Close closes the reader first.
func (c *closing) Close() error { return c.close() }
