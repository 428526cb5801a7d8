//go:build !linux

package sock

import (
	"net"
	"time"
)

// UserTimeout does nothing on this system; keep-alive probes remain.
func UserTimeout(net.Conn, time.Duration) error { return nil }

// Quiet always returns true on this system; the next use of c fails if it is closed.
func Quiet(net.Conn) bool { return true }
