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

// errNotHTTP refuses a header before fasthttp parses it.
var errNotHTTP = errors.New("a line of the header ends with LF alone; CRLF is needed")

// phase says to which part of a request the next bytes on a connection belong.
type phase int

const (
	betweenRequests phase = iota // no byte of the next request has arrived
	inHeader
	inBody // the header is complete; from here only the body's reader reads
)

// conn is the connection of a caller, between the socket and fasthttp. Its Read returns headers only, and never bytes
// beyond the end of a header: the bytes after it are left to the body's reader, or are the next header. Therefore
// fasthttp never waits for a body (it would read 8 KiB of the body before any handler runs), and a body stays in the
// socket until a handler reads it. conn sets the deadlines, one for a whole header and one for each other read and
// write; fasthttp sets none.
//
// Only the goroutine that serves the connection calls Read.
type conn struct {
	net.Conn
	limits *Limits
	ctx    context.Context //nolint:containedctx // ends when the caller hangs up
	hangUp context.CancelFunc

	ahead      lookahead // bytes that were read from the socket and not consumed yet
	scan       headScan
	headerEnds time.Time // the deadline of the header that is arriving
	linger     bool      // Close drains the socket first, so that the caller can read the answer
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

// Read reads bytes of a header, at most to its end.
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

// header returns how many bytes of p belong to the header, and puts the rest back.
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
		return io.ErrUnexpectedEOF // fasthttp and headScan disagree about the end of the header
	case c.draining && c.phase == betweenRequests:
		return io.EOF
	case c.phase == inHeader:
		return c.SetReadDeadline(c.headerEnds)
	}
	return c.SetReadDeadline(time.Now().Add(c.limits.Idle))
}

// begin sets the deadline of a header when its first bytes have arrived.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == betweenRequests {
		c.phase = inHeader
		c.headerEnds = time.Now().Add(c.limits.Header)
	}
}

// endOfHeader returns the error of a read that returned no bytes: io.EOF if the connection was idle for too long, else
// err.
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

// next makes the connection ready for the next request, after the body of the last one was read to its end.
func (c *conn) next() {
	c.scan = headScan{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = betweenRequests
}

// Write writes all of p, within Limits.Write.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limits.Write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// drain ends the connection after the request in progress, or now if there is none.
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

// Bounds of the bytes that Close reads and discards while the caller still sends. Without these reads, the kernel would
// reset the connection, and the caller could lose the answer.
const (
	lingerBytes = 64 << 20
	lingerMost  = 3 * time.Second
	lingerPause = time.Second
)

// Close closes the connection. If the caller may not have read the answer yet, Close first discards what the caller
// still sends.
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

// abort closes the socket at once; reads and writes in progress fail.
func (c *conn) abort() {
	c.hangUp()
	_ = c.Conn.Close()
}

// lookahead is the buffer between the socket and the readers of headers and bodies.
type lookahead struct {
	buf  []byte
	r, w int
}

func (l *lookahead) empty() bool { return l.r == l.w }

// bytes returns the buffered bytes, valid until the next change of l.
func (l *lookahead) bytes() []byte { return l.buf[l.r:l.w] }

func (l *lookahead) skip(n int) { l.r += n }

func (l *lookahead) take(p []byte) int {
	n := copy(p, l.bytes())
	l.r += n
	return n
}

// putBack puts p in front of the buffered bytes. Either p was returned by the last take, or the buffer is empty.
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

// fill reads once from src and appends to the buffer. It returns false if the buffer is full.
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

// headScan finds the end of a header that arrives in pieces: the first empty line after one that is not empty.
type headScan struct {
	started bool // a line was not empty
	last    byte // the byte before the next piece
	line    int  // bytes of the line so far
}

// next returns how many bytes of p belong to the header, or -1 if all do and the end has not arrived. ok is false if a
// line does not end with CRLF.
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
