//go:build !linux

package edge

import "net"

// hangUps does nothing where there is no epoll: a hang-up is noticed by the next write.
type hangUps struct{}

func newHangUps() (*hangUps, error) { return &hangUps{}, nil }

func (*hangUps) watch(net.Conn, func()) (forget func()) { return func() {} }

func (*hangUps) close() {}
