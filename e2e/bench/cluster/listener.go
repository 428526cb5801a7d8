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

// listener gets a connection from each process in a pod when it starts. The process sends its name.
type listener struct {
	ln net.Listener

	mu      sync.Mutex
	waiting map[string]chan time.Time
	all     map[string]chan<- struct{}
}

// listen opens a listener at an address of this machine.
func listen(ctx context.Context, host string) (*listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen where pods reach this machine (-host): %w", err)
	}
	l := &listener{ln: ln, waiting: map[string]chan time.Time{}, all: map[string]chan<- struct{}{}}
	go l.accept()
	return l, nil
}

func (l *listener) address() string { return l.ln.Addr().String() }

func (l *listener) close() { _ = l.ln.Close() }

func (l *listener) accept() {
	for {
		conn, err := l.ln.Accept()
		if err != nil {
			return
		}
		go l.read(conn)
	}
}

func (l *listener) read(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	if _, err := r.ReadByte(); err != nil {
		return
	}
	at := time.Now()
	_ = r.UnreadByte() // cannot fail after ReadByte
	line, _ := r.ReadString('\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	name := strings.TrimSpace(line)
	if heard := l.waiting[name]; heard != nil {
		delete(l.waiting, name)
		heard <- at
	}
	if heard := l.all[name]; heard != nil {
		select {
		case heard <- struct{}{}:
		default: // the connections are no longer counted
		}
	}
}

// expectAll returns a channel that receives a value for each process of that name, until forget is called.
func (l *listener) expectAll(name string) (heard <-chan struct{}, forget func()) {
	all := make(chan struct{}, 1024)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[name] = all
	return all, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, name)
	}
}

// expect returns a channel that receives the time at which the first byte of that process came.
func (l *listener) expect(name string) <-chan time.Time {
	heard := make(chan time.Time, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[name] = heard
	return heard
}
