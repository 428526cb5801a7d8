//go:build !linux

package edge

import "net"

// hangUps does nothing where there is no epoll: callers who hang up are noticed
// when they are written to.
type hangUps struct{}

func newHangUps() (*hangUps, error) { return &hangUps{}, nil }

func (*hangUps) watch(net.Conn, func()) (forget func()) { return func() {} }

func (*hangUps) close() {}
