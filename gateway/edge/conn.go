package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// errNotHTTP is what a caller's bytes are refused with before fasthttp sees them.
var errNotHTTP = errors.New("a line of the header ends with LF alone; CRLF is needed")

// phase is what the next bytes on a connection belong to.
type phase int

const (
	betweenRequests phase = iota // nothing of the next request is here
	inHeader
	inBody // the header is complete; only the body's reader reads now
)

// conn is a caller's connection as fasthttp is given it. Its Read gives fasthttp
// headers only, each exactly to its end: what follows is kept for the body's
// reader, or is the next header. So fasthttp never waits for a body (it would
// read 8 KiB of it before any handler runs) and a body stays in the socket until
// it is wanted. Deadlines are set here, one for a whole header and else one for
// each read and write; those that fasthttp would set are switched off.
//
// Read is called by the goroutine that serves the connection only.
type conn struct {
	net.Conn
	limits *Limits
	ctx    context.Context //nolint:containedctx // ends when the caller hangs up
	hangUp context.CancelFunc

	ahead      lookahead // read from the socket and not handed on
	scan       headScan
	headerEnds time.Time // the deadline of the header under way
	linger     bool      // at the end, let the caller read the answer before it meets a closed socket
	fault      error     // why Read refused a header

	mu       sync.Mutex
	phase    phase
	draining bool // no further request is taken
	closing  bool
}

func newConn(ctx context.Context, raw net.Conn, limits *Limits) *conn {
	c := &conn{Conn: raw, limits: limits}
	c.ctx, c.hangUp = context.WithCancel(ctx)
	return c
}

// Read reads bytes of a header.
func (c *conn) Read(p []byte) (int, error) {
	if c.fault != nil {
		return 0, c.fault
	}
	if !c.ahead.empty() {
		n := c.ahead.take(p)
		c.begin()
		return c.header(p[:n])
	}
	if err := c.arm(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n == 0 {
		return 0, c.endOfHeader(err)
	}
	c.begin()
	return c.header(p[:n])
}

// header ends p where the header does and keeps the rest.
func (c *conn) header(p []byte) (int, error) {
	end, ok := c.scan.next(p)
	if !ok {
		c.fault = errNotHTTP
		return 0, c.fault
	}
	if end < 0 {
		return len(p), nil
	}
	c.ahead.putBack(p[end:])
	c.enter(inBody)
	return end, nil
}

// arm sets the deadline of the next read of a header.
func (c *conn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.phase == inBody:
		return io.ErrUnexpectedEOF // fasthttp sees another end of the header than we
	case c.draining && c.phase == betweenRequests:
		return io.EOF
	case c.phase == inHeader:
		return c.SetReadDeadline(c.headerEnds)
	}
	return c.SetReadDeadline(time.Now().Add(c.limits.Idle))
}

// begin notes that bytes of a header are here.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == betweenRequests {
		c.phase = inHeader
		c.headerEnds = time.Now().Add(c.limits.Header)
	}
}

// endOfHeader is the error of a read that gave nothing: a connection on which
// nothing was asked just ends.
func (c *conn) endOfHeader(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == betweenRequests && errors.Is(err, os.ErrDeadlineExceeded) {
		return io.EOF
	}
	return err
}

func (c *conn) enter(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = p
}

// next makes the connection ready for the next request. The body of the one
// before has been read to its end.
func (c *conn) next() {
	c.scan = headScan{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = betweenRequests
}

// Write writes all of p while the caller takes it within the deadline.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limits.Write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// drain lets the request under way be the last one.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.phase == betweenRequests {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// How much, and how long, a connection is read for nothing before it is closed
// on a caller who still sends: closed at once, the answer might be lost on the
// caller's side.
const (
	lingerBytes = 64 << 20
	lingerMost  = 3 * time.Second
	lingerPause = time.Second
)

// Close ends the connection. Only the goroutine that serves it lingers.
func (c *conn) Close() error {
	c.mu.Lock()
	closing := c.closing
	c.closing = true
	c.mu.Unlock()
	if closing {
		return nil
	}
	if c.linger {
		c.lingerOn()
	}
	c.hangUp()
	return c.Conn.Close()
}

func (c *conn) lingerOn() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	ends := time.Now().Add(lingerMost)
	buf := make([]byte, 32<<10)
	for total := 0; total < lingerBytes; {
		pause := time.Now().Add(lingerPause)
		if pause.After(ends) {
			pause = ends
		}
		if c.SetReadDeadline(pause) != nil {
			return
		}
		n, err := c.Conn.Read(buf)
		if err != nil {
			return
		}
		total += n
	}
}

// abort closes the socket under whoever uses it.
func (c *conn) abort() {
	c.hangUp()
	_ = c.Conn.Close()
}

// lookahead holds bytes between the socket and their reader.
type lookahead struct {
	buf  []byte
	r, w int
}

func (l *lookahead) empty() bool { return l.r == l.w }

// bytes are those held, until the next change.
func (l *lookahead) bytes() []byte { return l.buf[l.r:l.w] }

func (l *lookahead) skip(n int) { l.r += n }

func (l *lookahead) take(p []byte) int {
	n := copy(p, l.bytes())
	l.r += n
	return n
}

// putBack holds p before what is held; p is what was taken last, or nothing is held.
func (l *lookahead) putBack(p []byte) {
	if len(p) <= l.r {
		l.r -= len(p)
		copy(l.buf[l.r:], p)
		return
	}
	if len(p) > cap(l.buf) {
		l.buf = make([]byte, max(len(p), lookaheadBytes))
	}
	l.buf = l.buf[:cap(l.buf)]
	l.r, l.w = 0, copy(l.buf, p)
}

const lookaheadBytes = 4 << 10

// fill reads once from src behind what is held. It reports false when there is no room.
func (l *lookahead) fill(src io.Reader) (bool, error) {
	if l.buf == nil {
		l.buf = make([]byte, lookaheadBytes)
	}
	l.buf = l.buf[:cap(l.buf)]
	l.w = copy(l.buf, l.bytes())
	l.r = 0
	if l.w == len(l.buf) {
		return false, nil
	}
	n, err := src.Read(l.buf[l.w:])
	l.w += n
	if n > 0 {
		err = nil
	}
	return true, err
}

// headScan finds the end of a header in the pieces that arrive: the first empty
// line after one that is not.
type headScan struct {
	started bool // a line that is not empty was there
	last    byte // of the piece before
	line    int  // bytes of the line so far
}

// next returns how many bytes of p belong to the header, -1 when it goes on. ok
// is false when a line does not end with CRLF.
func (s *headScan) next(p []byte) (end int, ok bool) {
	for i, b := range p {
		if b != '\n' {
			s.line++
			s.last = b
			continue
		}
		if s.last != '\r' {
			return 0, false
		}
		empty := s.line == 1
		if empty && s.started {
			return i + 1, true
		}
		s.started = s.started || !empty
		s.line, s.last = 0, b
	}
	return -1, true
}
