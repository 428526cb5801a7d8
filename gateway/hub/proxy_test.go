package hub_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between runners and a gateway. It can cut connections, at any byte in either direction, let them hang
// half open, and count them.
type proxy struct {
	address string
	target  string
	ctx     context.Context
	stop    func()
	group   sync.WaitGroup

	mu    sync.Mutex
	dials int
	plan  func(*cut) // of each new connection
	live  map[*cut]bool
	over  bool
}

// cut is what happens to one connection.
type cut struct {
	dial  int           // 1 for the first through this proxy
	slot  bool          // a slot's, not a control connection
	up    int64         // bytes that pass from the runner to the gateway before the connection is cut; -1: any number
	down  int64         // the other way
	call  bool          // the bytes are counted from the handshake's end on
	half  bool          // not cut but left open without anything passing any more
	delay time.Duration // before each part passes
	ends  [2]net.Conn
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &proxy{address: ln.Addr().String(), target: target, ctx: ctx, live: map[*cut]bool{}}
	p.group.Go(func() { p.serve(ln) })
	p.stop = sync.OnceFunc(func() {
		cancel()
		_ = ln.Close()
		p.mu.Lock()
		p.over = true
		for c := range p.live {
			c.close()
		}
		p.mu.Unlock()
		p.group.Wait()
	})
	t.Cleanup(p.stop)
	return p
}

func (c *cut) close() {
	for _, e := range c.ends {
		_ = e.Close()
	}
}

func (p *proxy) serve(ln net.Listener) {
	for {
		near, err := ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		far, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", target)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.dials++
		c := &cut{dial: p.dials, up: -1, down: -1, ends: [2]net.Conn{near, far}}
		if p.over {
			c.close()
		}
		p.live[c] = true
		p.mu.Unlock()
		p.group.Go(func() { p.carry(c) })
	}
}

// carry passes bytes until the plan says otherwise. The runner speaks first.
func (p *proxy) carry(c *cut) {
	defer func() {
		p.mu.Lock()
		delete(p.live, c)
		p.mu.Unlock()
	}()
	hello := make([]byte, 32<<10)
	n, _ := c.ends[0].Read(hello)
	hello = hello[:n]
	c.slot = bytes.Contains(hello, []byte("Davit-Link: slot"))
	p.mu.Lock()
	plan := p.plan
	p.mu.Unlock()
	if plan != nil {
		plan(c)
	}
	early := []byte(nil)
	if c.call {
		_, _ = c.ends[1].Write(hello)
		hello, early = nil, hello
		n, _ := c.ends[1].Read(early[:cap(early)])
		_, _ = c.ends[0].Write(early[:n])
	}
	var ways sync.WaitGroup
	ways.Go(func() { p.pass(c, c.ends[1], io.MultiReader(bytes.NewReader(hello), c.ends[0]), c.up) })
	ways.Go(func() { p.pass(c, c.ends[0], c.ends[1], c.down) })
	ways.Wait()
}

func (p *proxy) pass(c *cut, to io.Writer, from io.Reader, most int64) {
	src := from
	if most >= 0 {
		src = io.LimitReader(from, most)
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			time.Sleep(c.delay) //nolint:forbidigo // is the delay
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err == nil {
			continue
		}
		if c.half && most >= 0 { // hold it open until somebody hangs up
			_, _ = io.Copy(io.Discard, from)
		}
		c.close()
		return
	}
}

// make has new connections treated by plan.
func (p *proxy) make(plan func(*cut)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// lead sends new connections elsewhere.
func (p *proxy) lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// sever closes the connections that are meant.
func (p *proxy) sever(meant func(*cut) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.live {
		if meant(c) {
			c.close()
		}
	}
}

func (p *proxy) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}
