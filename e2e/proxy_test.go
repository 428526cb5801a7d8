package e2e

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/internal/sock"
)

// blockedFor is how long a blocked connection stays open: then the kernel's probes have noticed it.
const blockedFor = sock.DeadAfter

// fault is what happens to one connection: after that many bytes of both directions together it is cut, or stays open
// and passes nothing more.
type fault struct {
	after  int64 // -1: never
	blocks bool
	delay  time.Duration // before each write
}

// proxy forwards the connections of runners to a gateway.
type proxy struct {
	address, target string
	plan            func() fault // of each new connection
	cuts, blocked   atomic.Int64
	listener        net.Listener
	group           sync.WaitGroup

	mu   sync.Mutex
	over bool
	live map[*link]bool
}

// link is one connection through the proxy.
type link struct {
	fault
	near, far net.Conn
	left      atomic.Int64
	dead      atomic.Bool // blocked: bytes are discarded, and an end is not passed on
	broken    sync.Once
	end       *time.Timer // closes a blocked link; set by broken
}

// newProxy starts a proxy. It ends after everything that the test starts later.
func newProxy(t *testing.T, target string, plan func() fault) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: ln.Addr().String(), target: target, plan: plan, listener: ln, live: map[*link]bool{}}
	p.group.Go(p.serve)
	t.Cleanup(func() {
		_ = ln.Close()
		p.mu.Lock()
		p.over = true
		for l := range p.live {
			l.close()
		}
		p.mu.Unlock()
		p.group.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l := &link{fault: p.plan(), near: near, far: far}
		l.left.Store(l.after)
		p.mu.Lock()
		p.live[l] = true
		if p.over {
			l.close()
		}
		p.mu.Unlock()
		p.group.Go(func() { p.carry(l) })
	}
}

func (l *link) close() {
	_ = l.near.Close()
	_ = l.far.Close()
}

func (p *proxy) carry(l *link) {
	var directions sync.WaitGroup
	directions.Go(func() { p.pass(l, l.far, l.near) })
	directions.Go(func() { p.pass(l, l.near, l.far) })
	directions.Wait()
	l.broken.Do(func() {})
	if l.end != nil {
		l.end.Stop()
	}
	l.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, l)
}

// pass forwards one direction to its end. It passes the end on unless the link is blocked.
func (p *proxy) pass(l *link, to io.Writer, from io.Reader) {
	buffer := make([]byte, 4<<10)
	for {
		n, err := from.Read(buffer)
		if l.dead.Load() {
			if err != nil {
				return
			}
			continue
		}
		if l.delay > 0 {
			<-time.After(l.delay)
		}
		if passes := l.allowed(n); passes < n {
			_, _ = to.Write(buffer[:passes])
			p.breakLink(l)
			continue // the next read fails, or its bytes are discarded
		}
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			l.close()
			return
		}
	}
}

// allowed returns how many of n bytes may still pass.
func (l *link) allowed(n int) int {
	if l.after < 0 {
		return n
	}
	return int(min(max(l.left.Add(-int64(n))+int64(n), 0), int64(n)))
}

func (p *proxy) breakLink(l *link) {
	l.broken.Do(func() {
		if l.blocks {
			p.blocked.Add(1)
			l.dead.Store(true)
			l.end = time.AfterFunc(blockedFor, l.close)
			return
		}
		p.cuts.Add(1)
		l.close()
	})
}

// breakSome breaks the open connections for which chosen returns true.
func (p *proxy) breakSome(chosen func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.live {
		if chosen() {
			p.breakLink(l)
		}
	}
}
