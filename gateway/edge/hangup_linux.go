package edge

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// hangUps detects callers who hang up. One goroutine with one epoll watches all connections, edge-triggered and only
// for the close of the caller's end, so that a request needs no system call. A caller that closes only its sending half
// counts as gone, because the two cannot be distinguished before a write.
type hangUps struct {
	epoll int
	wake  [2]int // a pipe: closing its write end ends run
	done  chan struct{}

	mu      sync.Mutex
	last    int32
	watched map[int32]func()
}

func newHangUps() (*hangUps, error) {
	h := &hangUps{done: make(chan struct{}), watched: make(map[int32]func())}
	var err error
	if h.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("watch callers: %w", err)
	}
	if err := unix.Pipe2(h.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		_ = unix.Close(h.epoll)
		return nil, fmt.Errorf("watch callers: %w", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLHUP, Fd: 0}
	if err := unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, h.wake[0], &event); err != nil {
		h.release()
		_ = unix.Close(h.wake[1])
		return nil, fmt.Errorf("watch callers: %w", err)
	}
	go h.run()
	return h, nil
}

// watch calls gone once when the caller of raw hangs up. The returned function ends the watch; the socket may be closed
// before or after that.
func (h *hangUps) watch(raw net.Conn, gone func()) (forget func()) {
	socket, ok := raw.(syscall.Conn)
	if !ok {
		return func() {}
	}
	control, err := socket.SyscallConn()
	if err != nil {
		return func() {}
	}
	key := h.add(gone)
	event := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: key}
	_ = control.Control(func(fd uintptr) {
		// If this fails, only the next write detects a hang-up.
		_ = unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, int(fd), &event)
	})
	return func() { h.remove(key) }
}

func (h *hangUps) add(gone func()) int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.last++; h.last <= 0 || h.watched[h.last] != nil; h.last++ {
		if h.last < 0 {
			h.last = 0
		}
	}
	h.watched[h.last] = gone
	return h.last
}

func (h *hangUps) remove(key int32) (gone func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	gone = h.watched[key]
	delete(h.watched, key)
	return gone
}

func (h *hangUps) run() {
	defer close(h.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(h.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			if e.Fd == 0 {
				return
			}
			if gone := h.remove(e.Fd); gone != nil {
				gone()
			}
		}
	}
}

// close ends all watches and waits for the goroutine.
func (h *hangUps) close() {
	_ = unix.Close(h.wake[1])
	<-h.done
	h.release()
}

func (h *hangUps) release() {
	_ = unix.Close(h.wake[0])
	_ = unix.Close(h.epoll)
}
