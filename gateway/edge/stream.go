package edge

import (
	"errors"
	"io"
	"sync"

	"github.com/valyala/fasthttp"
)

// peekBytes is how many bytes StreamPeeked reads before it sends an answer.
const peekBytes = 32 << 10

// streamed is the body of an answer. The goroutine of the connection writes it after the handler has returned. An error
// of write closes the connection, so that the answer never looks complete.
type streamed struct {
	write func(w io.Writer) error
	close func()
}

// Read fails: fasthttp calls WriteTo.
func (s *streamed) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// SupportsBodyWriteTo makes fasthttp call WriteTo.
func (s *streamed) SupportsBodyWriteTo() bool { return true }

// WriteTo writes the body. Each Write reaches the caller at once.
func (s *streamed) WriteTo(w io.Writer) (int64, error) {
	counted := &countedWriter{w: w}
	err := s.write(counted)
	return counted.n, err
}

// Close calls close. fasthttp calls Close after WriteTo, and also if it never calls WriteTo.
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

// Stream answers with the content of body: size bytes, or all bytes if size is negative. It closes body. An error of
// body closes the connection, so that an incomplete answer never looks complete.
func (r *Request) Stream(status int, body io.ReadCloser, size int64) {
	r.sendCopied(status, r.life.buffers.get(), 0, body, max(size, lengthUnknown))
}

// StreamPeeked answers with a body of unknown length. It reads up to 32 KiB before it returns: if the body ends there,
// the answer has a Content-Length; if a read fails there, StreamPeeked returns the error and does not answer. It closes
// body.
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

// Follow answers with a body that grows over time. The header is sent before the first byte of the body. It closes
// body.
func (r *Request) Follow(status int, body io.ReadCloser) {
	r.http.Response.ImmediateHeaderFlush = true
	r.Stream(status, body, lengthUnknown)
}

// Write answers with the output of write. The header is sent first, and each Write reaches the caller at once. The
// server calls write after the handler has returned; an error of write closes the connection. done is called once,
// after write, and also if write is never called.
func (r *Request) Write(status int, write func(io.Writer) error, done func()) {
	r.http.Response.ImmediateHeaderFlush = true
	r.sendWritten(status, lengthUnknown, write, done)
}

// sendCopied answers with the first n bytes of buf and then with body. It closes body and puts buf back into the pool.
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

// readUpTo fills p, or returns io.EOF if r ends before. Unlike io.ReadFull, it returns errors of r unchanged.
func readUpTo(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}
