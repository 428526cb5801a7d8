package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestConnectionsAreBounded(t *testing.T) {
	u := serve(t, Limits{Connections: 2})
	for range 2 {
		conn := u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
		readAnswer(t, bufio.NewReader(conn), "GET")
	}
	if got := u.talk(""); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Fatalf("got %q", got)
	}
}

func TestShutdown(t *testing.T) {
	u := serve(t, Limits{})
	entered, release := make(chan struct{}), make(chan struct{})
	u.answer = func(r *Request) error {
		close(entered)
		<-release
		return streaming(strings.NewReader("done"))(r)
	}
	idle := u.raw("")
	kept := u.raw("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
	readAnswer(t, bufio.NewReader(kept), "GET")
	busy := u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	done := make(chan error, 1)
	go func() { done <- u.Shutdown(context.Background()) }()
	for _, conn := range []net.Conn{idle, kept} {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Fatalf("an idle connection: %q, %v", b, err)
		}
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.addr); err == nil {
		t.Fatal("still accepts")
	}
	close(release)
	if got := readAnswer(t, bufio.NewReader(busy), "GET"); string(got.body) != "done" || !got.Close {
		t.Fatalf("got %q, close %v", got.body, got.Close)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	u := serve(t, Limits{})
	entered := make(chan struct{})
	u.answer = func(r *Request) error {
		close(entered)
		<-r.LastingContext().Done()
		return r.LastingContext().Err()
	}
	u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := u.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}
