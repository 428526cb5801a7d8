package blob

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialer connects to an S3 server and counts the open connections.
type dialer struct{ open atomic.Int64 }

// dial is a DialContext of http.Transport.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	plain := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	conn, err := plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, is := conn.(*net.TCPConn)
	if !is {
		return conn, nil
	}
	d.open.Add(1)
	return &dialed{TCPConn: tcp, closed: sync.OnceFunc(func() { d.open.Add(-1) })}, nil
}

// dialed is a counted connection. It is a TCPConn, and not only a net.Conn, so that files are sent by the kernel.
type dialed struct {
	*net.TCPConn

	closed func()
}

// Close implements net.Conn.
func (c *dialed) Close() error {
	c.closed()
	return c.TCPConn.Close()
}

// Connections returns the number of open connections to the S3 server, idle ones among them.
func (s *S3) Connections() int { return int(s.dialer.open.Load()) }
