// Package sock has the socket options that both ends of a runner's TCP connections need, so that the kernel closes a
// connection to a dead peer within seconds, and a check whether an idle connection is still open. On systems other than
// Linux only keep-alive probes are set.
package sock

import (
	"fmt"
	"net"
	"time"
)

// DeadAfter is how long a peer may leave data unacknowledged before its connection is closed.
const DeadAfter = 10 * time.Second

// SlowAfter replaces DeadAfter during the transfer of a large body, because the kernel also counts the time in which a
// slow reader keeps its receive window closed.
const SlowAfter = 5 * time.Minute

// Tune sets no delay, keep-alive probes and DeadAfter on a TCP connection. It does nothing to other connections.
func Tune(c net.Conn) error {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := t.SetNoDelay(true); err != nil {
		return fmt.Errorf("set no delay: %w", err)
	}
	probes := net.KeepAliveConfig{Enable: true, Idle: DeadAfter / 2, Interval: DeadAfter / 4, Count: 2}
	if err := t.SetKeepAliveConfig(probes); err != nil {
		return fmt.Errorf("set keep-alive: %w", err)
	}
	return UserTimeout(c, DeadAfter)
}
