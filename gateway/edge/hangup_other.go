//go:build !linux

package edge

import "net"

// hangUps does nothing, because there is no epoll: the next write detects a hang-up.
type hangUps struct{}

func newHangUps() (*hangUps, error) { return &hangUps{}, nil }

func (*hangUps) watch(net.Conn, func()) (forget func()) { return func() {} }

func (*hangUps) close() {}
