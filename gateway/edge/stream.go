package edge

import (
	"errors"
	"io"
	"sync"

	"github.com/valyala/fasthttp"
)

// peekBytes are read of an answer of unknown length before it is sent (see StreamPeeked).
const peekBytes = 32 << 10

// streamed is the body of an answer that the goroutine of the connection writes after the handler has returned. An error
// of write closes the connection, so that the answer never looks complete.
type streamed struct {
	write func(w io.Writer) error
	close func()
}

// Read fails: fasthttp calls WriteTo.
func (s *streamed) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// SupportsBodyWriteTo makes fasthttp call WriteTo.
func (s *streamed) SupportsBodyWriteTo() bool { return true }

// WriteTo writes the body; each Write of it is flushed to the caller.
func (s *streamed) WriteTo(w io.Writer) (int64, error) {
	counted := &countedWriter{w: w}
	err := s.write(counted)
	return counted.n, err
}

// Close is called by fasthttp after WriteTo, and also where WriteTo is never called.
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

// Stream answers with what body holds: size bytes, or as many as there are where size is negative. It closes body. An
// error of body breaks the connection off, so that what was sent never looks whole.
func (r *Request) Stream(status int, body io.ReadCloser, size int64) {
	r.sendCopied(status, r.life.buffers.get(), 0, body, max(size, lengthUnknown))
}

// StreamPeeked answers with a body of unknown length. It reads up to 32 KiB of it at once: a body that ends there is sent
// with its length, and an error up to there is returned and nothing is answered. It closes body.
func (r *Request) StreamPeeked(status int, body io.ReadCloser) error {
	buf := r.life.buffers.get()
	n, err := readUpTo(body, (*buf)[:peekBytes])
	switch {
	case err == nil:
		r.sendCopied(status, buf, n, body, lengthUnknown)
		return nil
	case errors.Is(err, io.EOF):
		r.http.Response.SetStatusCode(status)
		r.http.Response.SetBody((*buf)[:n])
		err = nil
	}
	r.life.buffers.put(buf)
	return errors.Join(err, body.Close())
}

// Follow answers with a body that comes over time: the header is sent ahead of it. It closes body.
func (r *Request) Follow(status int, body io.ReadCloser) {
	r.http.Response.ImmediateHeaderFlush = true
	r.Stream(status, body, lengthUnknown)
}

// Write answers with what write writes; the header is sent ahead, and each Write reaches the caller at once. write is
// called after the handler has returned. An error of it breaks the connection off. done is called once after write, also
// where write is never called.
func (r *Request) Write(status int, write func(io.Writer) error, done func()) {
	r.http.Response.ImmediateHeaderFlush = true
	r.sendWritten(status, lengthUnknown, write, done)
}

// sendCopied answers with the first n bytes of buf and then with body. It closes body and gives buf back.
func (r *Request) sendCopied(status int, buf *[]byte, n int, body io.ReadCloser, size int64) {
	r.sendWritten(status, size, func(w io.Writer) error {
		if n > 0 {
			if _, err := w.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		return r.copyTo(w, body, *buf)
	}, func() {
		_ = body.Close()
		r.life.buffers.put(buf)
	})
}

func (r *Request) copyTo(w io.Writer, body io.Reader, buf []byte) error {
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
			if r.conn.ctx.Err() == nil && r.life.draining.Err() == nil {
				r.life.log.Warn("answer broken off", "listener", r.life.name, "request_id", r.id, "route", r.route, "error", err)
			}
			return err
		}
	}
}

func (r *Request) sendWritten(status int, size int64, write func(io.Writer) error, done func()) {
	r.known = size >= 0
	r.http.Response.SetStatusCode(status)
	r.http.Response.SetBodyStream(&streamed{write: write, close: sync.OnceFunc(done)}, int(size))
}

// readUpTo fills p, or reports with io.EOF that r holds less; unlike io.ReadFull it returns r's own errors as they are.
func readUpTo(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}
