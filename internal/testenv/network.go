package testenv

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Network connects the parts of a test in memory, so that a test can run in a bubble of synctest, whose clock does not
// run while a goroutine waits for a socket.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	halves    []*half
}

// Listen returns a listener at an address; Dial reaches it until it is closed.
func (n *Network) Listen(address string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	l := &listener{network: n, address: memory(address), conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l
}

// Alias gives a listener another address.
func (n *Network) Alias(address string, ln net.Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if l == ln {
			n.listeners[address] = l
		}
	}
}

// Dial connects to the listener at an address.
func (n *Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	near, far := n.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Freeze discards all bytes that are sent from now on over the connections that are open, as a proxy that hangs does.
// The end of a connection still reaches the other side.
func (n *Network) Freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.halves {
		h.change(func() { h.frozen, h.buf = true, nil })
	}
}

// Pipe returns the ends of a connection. Unlike those of net.Pipe, each direction has a buffer, as a socket has.
func (n *Network) Pipe() (near, far net.Conn) {
	there, back := newHalf(), newHalf()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.halves = append(n.halves, there, back)
	return newMemoryConn(back, there), newMemoryConn(there, back)
}

// memory is an address in a Network.
type memory string

func (memory) Network() string  { return "memory" }
func (m memory) String() string { return string(m) }

type listener struct {
	network *Network
	address memory
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		maps.DeleteFunc(l.network.listeners, func(_ string, other *listener) bool { return other == l })
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.address }

// bufferSize is how much is written to one direction and not read before a Write waits.
const bufferSize = 256 << 10

// half is one direction of a connection.
type half struct {
	mu          sync.Mutex
	buf         []byte
	ended, gone bool // the writer, the reader has closed its end
	frozen      bool
	changed     chan struct{} // closed and replaced at each change
}

func newHalf() *half { return &half{changed: make(chan struct{})} }

func (h *half) change(what func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	what()
	close(h.changed)
	h.changed = make(chan struct{})
}

// attempt calls what until it returns true, after each change, or until one of the channels is closed.
func (h *half) attempt(closed, late <-chan struct{}, what func() bool) error {
	for {
		select {
		case <-closed:
			return net.ErrClosed
		case <-late:
			return os.ErrDeadlineExceeded
		default:
		}
		h.mu.Lock()
		if what() {
			close(h.changed)
			h.changed = make(chan struct{})
			h.mu.Unlock()
			return nil
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-closed:
		case <-late:
		}
	}
}

// deadline is a channel that is closed at a time.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	late  chan struct{}
}

func newDeadline() *deadline { return &deadline{late: make(chan struct{})} }

func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer = nil
	select {
	case <-d.late:
		d.late = make(chan struct{})
	default:
	}
	left := time.Until(at)
	switch {
	case at.IsZero():
	case left <= 0:
		close(d.late)
	default:
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.timer == timer { // else the deadline was moved at the same moment
				d.timer = nil
				close(d.late)
			}
		})
		d.timer = timer
	}
}

func (d *deadline) channel() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.late
}
