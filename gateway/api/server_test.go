package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
)

func TestConnectionsAreBounded(t *testing.T) {
	u := startTriggers(t, Limits{Connections: 2})
	for range 2 {
		conn := u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
		u.readAnswer(bufio.NewReader(conn), "GET")
	}
	if got := u.talk(""); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Fatalf("got %q", got)
	}
}

func TestShutdown(t *testing.T) {
	u := startTriggers(t, Limits{})
	entered, release := make(chan struct{}), make(chan struct{})
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		close(entered)
		<-release
		return &faas.Reply{Invocation: succeeded(), Kind: "file", Filename: "x", Body: newFakeBody(strings.NewReader("done"))}, nil
	}
	idle := u.raw("")
	kept := u.raw("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
	u.readAnswer(bufio.NewReader(kept), "GET")
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
	if got := u.readAnswer(bufio.NewReader(busy), "GET"); string(got.body) != "done" || !got.Close {
		t.Fatalf("got %q, close %v", got.body, got.Close)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	u := startTriggers(t, Limits{})
	entered := make(chan struct{})
	u.caller.answer = func(ctx context.Context, _ *faas.Call) (*faas.Reply, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := u.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

// Bodies and results of any size pass through a few buffers.
func TestMemoryStaysFlat(t *testing.T) {
	u := startTriggers(t, Limits{})
	const size = 256 << 20
	u.caller.answer = func(_ context.Context, call *faas.Call) (*faas.Reply, error) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := call.Body.Read(buf); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
		}
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(io.LimitReader(zeros{}, size))}, nil
	}
	conn := u.raw("POST /huge HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 268435456\r\n\r\n")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	buf := make([]byte, 64<<10)
	for sent := 0; sent < size; sent += len(buf) {
		if _, err := conn.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for {
		n, err := conn.Read(buf)
		got += n
		if err != nil {
			break
		}
	}
	runtime.ReadMemStats(&after)
	if got < size {
		t.Fatalf("got %d bytes", got)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Fatalf("%d bytes were allocated for %d in and out", used, size)
	}
}
