package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// desk hears when processes in pods run: each dials it and says its name.
type desk struct {
	ln net.Listener

	mu      sync.Mutex
	waiting map[string]chan time.Time
	all     map[string]chan<- struct{}
}

// listen opens a desk at an address of this machine.
func listen(ctx context.Context, host string) (*desk, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen where pods reach this machine (-host): %w", err)
	}
	d := &desk{ln: ln, waiting: map[string]chan time.Time{}, all: map[string]chan<- struct{}{}}
	go d.accept()
	return d, nil
}

func (d *desk) address() string { return d.ln.Addr().String() }

func (d *desk) close() { _ = d.ln.Close() }

func (d *desk) accept() {
	for {
		conn, err := d.ln.Accept()
		if err != nil {
			return
		}
		go d.hear(conn)
	}
}

func (d *desk) hear(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	if _, err := r.ReadByte(); err != nil {
		return
	}
	at := time.Now()
	_ = r.UnreadByte() // it was just read
	line, _ := r.ReadString('\n')
	d.mu.Lock()
	defer d.mu.Unlock()
	name := strings.TrimSpace(line)
	if heard := d.waiting[name]; heard != nil {
		delete(d.waiting, name)
		heard <- at
	}
	if heard := d.all[name]; heard != nil {
		select {
		case heard <- struct{}{}:
		default: // nobody counts any more
		}
	}
}

// expectAll returns what tells each time that the name is said, until forget.
func (d *desk) expectAll(name string) (heard <-chan struct{}, forget func()) {
	all := make(chan struct{}, 1024)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all[name] = all
	return all, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.all, name)
	}
}

// expect returns what tells when the first byte of that name came.
func (d *desk) expect(name string) <-chan time.Time {
	heard := make(chan time.Time, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[name] = heard
	return heard
}
