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

// halfFor is how long a half-open connection stands: then the kernel's probes have noticed it.
const halfFor = sock.DeadAfter

// mishap is what happens to one connection: after so many bytes, both directions
// together, it is cut, or left open with nothing passing any more.
type mishap struct {
	after int64 // -1: never
	half  bool
	delay time.Duration // before each part passes
}

// proxy stands between runners and a gateway.
type proxy struct {
	address, target string
	plan            func() mishap // of each new connection
	cuts, halves    atomic.Int64
	listener        net.Listener
	group           sync.WaitGroup

	mu   sync.Mutex
	over bool
	live map[*link]bool
}

// link is one connection through the proxy.
type link struct {
	mishap
	near, far net.Conn
	left      atomic.Int64
	dead      atomic.Bool // half open: what arrives is swallowed, and no end is passed on
	spoiled   sync.Once
	end       *time.Timer // of a half-open one; set by spoiled
}

// newProxy starts a proxy that lasts longer than what the test starts after it.
func newProxy(t *testing.T, target string, plan func() mishap) *proxy {
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
		l := &link{mishap: p.plan(), near: near, far: far}
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
	var ways sync.WaitGroup
	ways.Go(func() { p.pass(l, l.far, l.near) })
	ways.Go(func() { p.pass(l, l.near, l.far) })
	ways.Wait()
	l.spoiled.Do(func() {})
	if l.end != nil {
		l.end.Stop()
	}
	l.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, l)
}

// pass carries one direction until an end, which it passes on unless the link is half open.
func (p *proxy) pass(l *link, to io.Writer, from io.Reader) {
	part := make([]byte, 4<<10)
	for {
		n, err := from.Read(part)
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
			_, _ = to.Write(part[:passes])
			p.spoil(l)
			continue // into the error, or swallowing
		}
		if _, werr := to.Write(part[:n]); err != nil || werr != nil {
			l.close()
			return
		}
	}
}

// allowed is how many of n bytes may still pass.
func (l *link) allowed(n int) int {
	if l.after < 0 {
		return n
	}
	return int(min(max(l.left.Add(-int64(n))+int64(n), 0), int64(n)))
}

func (p *proxy) spoil(l *link) {
	l.spoiled.Do(func() {
		if l.half {
			p.halves.Add(1)
			l.dead.Store(true)
			l.end = time.AfterFunc(halfFor, l.close)
			return
		}
		p.cuts.Add(1)
		l.close()
	})
}

// strike spoils the connections that are chosen, at whatever step they are.
func (p *proxy) strike(chosen func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.live {
		if chosen() {
			p.spoil(l)
		}
	}
}
