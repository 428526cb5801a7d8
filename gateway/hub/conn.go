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
	takeWithin  = time.Second // for a runner to take or refuse a call
	maxInterim  = 5           // 1xx answers before a final one
	continueMsg = "HTTP/1.1 100 Continue\r\n\r\n"
)

// silence returns how long the runner may send nothing on this connection; 0: for ever. The kernel notices a dead peer.
// This bound is for a connection that a proxy between the two keeps open although it passes no data.
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

// begin resets the connection for a new call.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.interrupted = offered, false
	c.bound(offered.silence())
}

// rest lets the connection wait for its next call without a deadline.
func (c *conn) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = offered
	c.bound(0)
}

// wasTaken reports whether the runner took the call and therefore sends events about it.
func (c *conn) wasTaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase >= taken
}

// advance sets the call's phase to p unless a later one is set.
func (c *conn) advance(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p > c.phase {
		c.phase = p
		c.bound(p.silence())
	}
}

// listening renews the deadline, before a read of the answer.
func (c *conn) listening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == ended {
		c.bound(ended.silence())
	}
}

// boundAnswer sets a deadline of takeWithin: the runner has sent its answer already, if any.
func (c *conn) boundAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bound(takeWithin)
}

// interrupt ends reads and writes that are under way, and all later ones until begin.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	_ = c.net.SetDeadline(time.Unix(1, 0))
}

// bound sets the deadline of reads and writes. The caller holds c.mu.
func (c *conn) bound(d time.Duration) {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	if !c.interrupted {
		_ = c.net.SetDeadline(at)
	}
}

// taken reads the status 100 by which the runner takes the call.
func (c *conn) taken() error {
	c.limit.left = maxHead
	b, err := c.br.Peek(len(continueMsg))
	if err == nil && string(b) == continueMsg {
		_, err = c.br.Discard(len(continueMsg))
		return err
	}
	resp, err := http.ReadResponse(c.br, nil) //nolint:bodyclose // nothing reads its body
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
	return nil, errTooManyInterim
}

// paced is an answer's body whose reads have a deadline once the command has ended.
type paced struct {
	io.ReadCloser
	conn *conn
}

// Read reads the body.
func (p *paced) Read(b []byte) (int, error) {
	p.conn.listening()
	return p.ReadCloser.Read(b)
}
