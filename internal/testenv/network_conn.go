package testenv

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// memoryConn is one end of a connection of a Network.
type memoryConn struct {
	in, out      *half
	reads, sends *deadline
	once         sync.Once
	closed       chan struct{}
}

func newMemoryConn(in, out *half) *memoryConn {
	return &memoryConn{in: in, out: out, reads: newDeadline(), sends: newDeadline(), closed: make(chan struct{})}
}

func (c *memoryConn) Read(p []byte) (n int, err error) {
	failed := c.in.attempt(c.closed, c.reads.channel(), func() bool {
		if len(c.in.buf) == 0 {
			err = io.EOF
			return c.in.ended
		}
		n, err = copy(p, c.in.buf), nil
		c.in.buf = c.in.buf[n:]
		return true
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}

func (c *memoryConn) Write(p []byte) (sent int, err error) {
	for sent < len(p) || len(p) == 0 {
		failed := c.out.attempt(c.closed, c.sends.channel(), func() bool {
			if c.out.frozen {
				sent = len(p)
				return true
			}
			if c.out.gone {
				err = syscall.EPIPE
				return true
			}
			n := min(len(p)-sent, bufferSize-len(c.out.buf))
			c.out.buf = append(c.out.buf, p[sent:sent+n]...)
			sent += n
			return n > 0 || len(p) == 0
		})
		if failed != nil || err != nil || len(p) == 0 {
			if err == nil {
				err = failed
			}
			return sent, err
		}
	}
	return sent, nil
}

func (c *memoryConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.out.change(func() { c.out.ended = true })
		c.in.change(func() { c.in.gone = true })
		c.reads.set(time.Time{})
		c.sends.set(time.Time{})
	})
	return nil
}

func (*memoryConn) LocalAddr() net.Addr  { return memory("here") }
func (*memoryConn) RemoteAddr() net.Addr { return memory("there") }

func (c *memoryConn) SetDeadline(at time.Time) error {
	c.reads.set(at)
	c.sends.set(at)
	return nil
}

func (c *memoryConn) SetReadDeadline(at time.Time) error {
	c.reads.set(at)
	return nil
}

func (c *memoryConn) SetWriteDeadline(at time.Time) error {
	c.sends.set(at)
	return nil
}
