// Package sock sets what both ends of a runner's TCP connections need of the
// kernel: that a dead peer is noticed within seconds, and a way to look whether an
// idle connection still stands. On systems other than Linux it does what it can.
package sock

import (
	"fmt"
	"net"
	"time"
)

// DeadAfter is how long a peer may stay silent that owes an acknowledgement.
const DeadAfter = 10 * time.Second

// SlowAfter replaces DeadAfter while a large body passes: the kernel counts the
// time that a live but slow reader keeps its window shut as silence, too.
const SlowAfter = 5 * time.Minute

// Tune sets no delay, keep-alive probes and DeadAfter on a TCP connection. Other
// connections are left as they are.
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
