package hub

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"

	"davit/internal/sock"
)

const (
	takeWithin  = time.Second // for a runner to say whether it takes a call
	maxInterim  = 5           // 1xx answers before a final one
	continueMsg = "HTTP/1.1 100 Continue\r\n\r\n"
)

// silence is how long the runner may say nothing on this connection, 0 for ever. The
// kernel notices a peer that is dead; this is for connections that something between
// keeps alive although nothing passes any more.
func (p phase) silence() time.Duration {
	switch p {
	case offered:
		return takeWithin
	case sent, ended:
		return sock.DeadAfter
	case taken, running:
	}
	return 0
}

func newConn(nc net.Conn, r *runner) *conn {
	limit := &limitReader{r: nc, left: math.MaxInt64}
	return &conn{net: nc, runner: r, limit: limit, br: bufio.NewReader(limit)}
}

// begin makes the connection that of a new call.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.interrupted = offered, false
	c.bound(offered.silence())
}

// rest makes the connection one that waits for its next call, for as long as it takes.
func (c *conn) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = offered
	c.bound(0)
}

// wasTaken reports whether the runner took the call, so that it tells of it.
func (c *conn) wasTaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase >= taken
}

// advance notes that the call is that far, unless it was further.
func (c *conn) advance(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p > c.phase {
		c.phase = p
		c.bound(p.silence())
	}
}

// listening is called before a read that may wait for the runner.
func (c *conn) listening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == ended {
		c.bound(ended.silence())
	}
}

// hurry bounds the silence of a runner whose answer, if there is one, has been sent.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bound(takeWithin)
}

// interrupt ends what is being read or written, and what would be until the next call.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	_ = c.net.SetDeadline(time.Unix(1, 0))
}

// bound sets the deadline for what is read and written from now on. c.mu is held.
func (c *conn) bound(d time.Duration) {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	if !c.interrupted {
		_ = c.net.SetDeadline(at)
	}
}

// taken reads the 100 that says that the runner took the call.
func (c *conn) taken() error {
	c.limit.left = maxHead
	b, err := c.br.Peek(len(continueMsg))
	if err == nil && string(b) == continueMsg {
		_, err = c.br.Discard(len(continueMsg))
		return err
	}
	resp, err := http.ReadResponse(c.br, nil) //nolint:bodyclose // it has none that anybody reads
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusContinue:
		return fmt.Errorf("the runner answered %d", resp.StatusCode)
	}
	return nil
}

// final reads the head of the answer.
func (c *conn) final() (*http.Response, error) {
	for range maxInterim {
		c.limit.left = maxHead
		resp, err := http.ReadResponse(c.br, nil)
		switch {
		case err != nil:
			return nil, err
		case !resp.ProtoAtLeast(1, 1):
			return nil, fmt.Errorf("the runner speaks %s", resp.Proto)
		case resp.StatusCode >= http.StatusOK:
			c.limit.left = math.MaxInt64
			resp.Body = &paced{resp.Body, c}
			return resp, nil
		}
	}
	return nil, errChatter
}

// paced is a body that may not stall when nothing is left that it could wait for.
type paced struct {
	io.ReadCloser
	conn *conn
}

// Read reads the body.
func (p *paced) Read(b []byte) (int, error) {
	p.conn.listening()
	return p.ReadCloser.Read(b)
}
