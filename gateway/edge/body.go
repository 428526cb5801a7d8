package edge

import (
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"davit/internal/faas"
)

// unbounded is the limit of a body before limit is called.
const unbounded = math.MaxInt64

// lengthUnknown is the size of a body that is sent in chunks.
const lengthUnknown = -1

var (
	errBodyOver   = errors.New("the request has been answered")
	errNotArrived = errors.New("the rest of the body has not arrived")
	errBadChunks  = errors.New("broken chunked encoding")
)

const interimContinue = "HTTP/1.1 100 Continue\r\n\r\n"

// body reads the body of one request from its connection. It reads nothing, and sends no 100 Continue, before the first
// Read. Any goroutine may call Read; Read fails once the request was answered.
type body struct {
	c    *conn
	over bool // guarded by c.mu: the request was answered

	mu     sync.Mutex // locked by Read
	frames framing
	expect bool // the caller waits for 100 Continue
	most   int64
	read   int64
	err    error // of all further reads
}

// framing decodes the data of a body from the bytes on the connection.
type framing interface {
	// next reads body bytes into p; io.EOF when the body is whole.
	next(src *bodySource, p []byte) (int, error)
	// whole reports whether the body has been read to its end.
	whole() bool
}

func newBody(c *conn, size int64, expect bool) *body {
	b := &body{c: c, expect: expect, most: unbounded}
	if size == lengthUnknown {
		b.frames = &chunks{}
	} else {
		b.frames = &fixed{left: size}
	}
	return b
}

// limit bounds the body: reading more than most bytes fails with TooLarge.
func (b *body) limit(most int64) { b.most = most }

// Read reads from the body and waits for the caller to send it. Its errors are *faas.Error: Invalid for a body that is
// malformed or stops arriving, TooLarge for one beyond the limit.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if room := b.most - b.read; int64(len(p)) > room && room < unbounded {
		p = p[:room+1]
	}
	n, err := b.frames.next(&bodySource{b: b}, p)
	b.read += int64(n)
	if b.read > b.most {
		n, err = 0, tooLarge(b.most)
	}
	if err != nil {
		b.err = b.explain(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, b.err
}

// explain returns the error to answer with.
func (b *body) explain(err error) error {
	var known *faas.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errBodyOver), errors.As(err, &known):
		return err
	case errors.Is(err, errBadChunks):
		return faas.Errorf(faas.Invalid, "the request body is not in chunks as its header says")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return faas.Errorf(faas.Invalid, "the request body stopped arriving: nothing came for %s", b.c.limits.Body)
	}
	return &faas.Error{Kind: faas.Invalid, Detail: "the request body ended before it was whole", Err: err}
}

func tooLarge(most int64) *faas.Error {
	return faas.Errorf(faas.TooLarge, "the request body is larger than the %s that are allowed here", faas.Bytes(most))
}

// end ends the body after the handler has answered and before the body of the answer is written. It makes reads in
// progress fail. It reports whether the whole body was read, so that the next bytes on the connection are a new
// request.
func (b *body) end() bool {
	if !b.mu.TryLock() {
		b.c.mu.Lock()
		b.over = true
		_ = b.c.SetReadDeadline(time.Unix(1, 0))
		b.c.mu.Unlock()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.expect && !b.frames.whole() {
		return false // whether the body follows is the caller's choice
	}
	if !b.frames.whole() {
		b.skipArrived()
	}
	if b.err == nil || errors.Is(b.err, io.EOF) {
		b.err = errBodyOver
	}
	return b.frames.whole()
}

// skipArrived discards the bytes of the body that are buffered.
func (b *body) skipArrived() {
	scrap := make([]byte, 512)
	for b.err == nil && !b.frames.whole() {
		_, b.err = b.frames.next(&bodySource{b: b, arrivedOnly: true}, scrap)
	}
}

// bodySource is the reader of a framing: it returns the buffered bytes first, and then reads the socket.
type bodySource struct {
	b           *body
	arrivedOnly bool // do not read the socket
}

// Read reads from the socket. It sends 100 Continue first if the caller waits for that.
func (s *bodySource) Read(p []byte) (int, error) {
	if s.arrivedOnly {
		return 0, errNotArrived
	}
	c := s.b.c
	if s.b.expect {
		s.b.expect = false
		if _, err := c.Write([]byte(interimContinue)); err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	if s.b.over {
		c.mu.Unlock()
		return 0, errBodyOver
	}
	err := c.SetReadDeadline(time.Now().Add(c.limits.Body))
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		err = nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// data reads at most most bytes of the body's data.
func (s *bodySource) data(p []byte, most int64) (int, error) {
	if int64(len(p)) > most {
		p = p[:most]
	}
	ahead := &s.b.c.ahead
	if !ahead.empty() {
		s.b.expect = false // the caller did not wait for 100 Continue
		return ahead.take(p), nil
	}
	return s.Read(p)
}

// fixed is a body with a Content-Length.
type fixed struct{ left int64 }

func (f *fixed) whole() bool { return f.left == 0 }

func (f *fixed) next(src *bodySource, p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := src.data(p, f.left)
	f.left -= int64(n)
	return n, err
}
