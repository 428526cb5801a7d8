package hub

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

const (
	goodHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Davit-Sha256, Davit-Size\r\nDavit-Body: zip\r\nDavit-Outcome: {}\r\n"
	emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	goodEnd  = "0\r\nDavit-Size: 0\r\nDavit-Sha256: " + emptySum + "\r\n\r\n"
	goOn     = "HTTP/1.1 100 Continue\r\n\r\n"
)

// endless writes a text until the other end hangs up, or until that is a fault of the test's.
func endless(text string) func(net.Conn) {
	return func(nc net.Conn) {
		for range 1 << 20 {
			if _, err := io.WriteString(nc, text); err != nil {
				return
			}
		}
	}
}

func say(text string) func(net.Conn) {
	return func(nc net.Conn) {
		_, _ = io.WriteString(nc, text)
		_, _ = io.Copy(io.Discard, nc)
	}
}

// A runner that answers anything gets an error for it, at once or when it must have answered, and without taking
// memory.
func TestHostileRunner(t *testing.T) {
	drip := func(nc net.Conn) {
		for range 100 {
			if _, err := io.WriteString(nc, "H"); err != nil {
				return
			}
			<-time.After(100 * time.Millisecond)
		}
	}
	for _, tt := range []struct {
		name   string
		before func(net.Conn) // what it says when it is asked whether it takes the call
		after  func(net.Conn) // what it says when it has it whole; nil: it is not to come to that
		want   error
		took   time.Duration
	}{
		{"nothing", func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }, nil, ErrRefused, takeWithin},
		{"one byte after the other", drip, nil, ErrRefused, takeWithin},
		{"no HTTP", say("SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n\r\n\r\n"), nil, ErrRefused, 0},
		{"an endless line", endless(strings.Repeat("x", 64<<10)), nil, ErrRefused, 0},
		{"an endless head", endless("X: " + strings.Repeat("x", 1000) + "\r\n"), nil, ErrRefused, 0},
		{"a final answer at once", say(goodHead + "\r\n" + goodEnd), nil, ErrRefused, 0},
		{"101", say("HTTP/1.1 101 Switching Protocols\r\n\r\n"), nil, ErrRefused, 0},
		{"endless 100s", say(goOn), endless(goOn), ErrInDoubt, 0},
		{"endless hints", say(goOn), endless("HTTP/1.1 103 Early Hints\r\nX: " + strings.Repeat("x", 1000) + "\r\n\r\n"), ErrInDoubt, 0},
		{"an endless head of an answer", say(goOn), endless(goodHead), ErrInDoubt, 0},
		{"HTTP/1.0", say(goOn), say("HTTP/1.0 200 OK\r\nDavit-Outcome: {}\r\n\r\n"), ErrInDoubt, 0},
		{"302", say(goOn), say("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"), ErrInDoubt, 0},
		{"500", say(goOn), say("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), ErrNotRun, 0},
		{"no outcome", say(goOn), say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), ErrInDoubt, 0},
		{"an outcome that is none", say(goOn), say("HTTP/1.1 200 OK\r\nDavit-Outcome: [[[[\r\nContent-Length: 0\r\n\r\n"), ErrInDoubt, 0},
		{"a huge outcome", say(goOn), say("HTTP/1.1 200 OK\r\nDavit-Outcome: {\"detail\":\"" + strings.Repeat("x", 40<<10) + "\"}\r\nContent-Length: 0\r\n\r\n"), ErrInDoubt, 0},
		{"a body of no kind", say(goOn), say("HTTP/1.1 200 OK\r\nDavit-Outcome: {}\r\nContent-Length: 3\r\n\r\nabc"), ErrInDoubt, 0},
		{"a body of an odd kind", say(goOn), say("HTTP/1.1 200 OK\r\nDavit-Outcome: {}\r\nDavit-Body: tar\r\nContent-Length: 3\r\n\r\nabc"), ErrInDoubt, 0},
		{"a climbing file", say(goOn), say(strings.Replace(goodHead, "zip", "file", 1) + "Davit-Filename: ..%2F..%2Fetc\r\n\r\n" + goodEnd), ErrInDoubt, 0},
		{"no trailers", say(goOn), say(goodHead + "\r\n3\r\nabc\r\n0\r\n\r\n"), io.ErrUnexpectedEOF, 0},
		{"a wrong size", say(goOn), say(goodHead + "\r\n3\r\nabc\r\n" + goodEnd), io.ErrUnexpectedEOF, 0},
		{"a wrong sum", say(goOn), say(goodHead + "\r\n" + strings.Replace(goodEnd, "e3b0", "e3b1", 1)), io.ErrUnexpectedEOF, 0},
		{"a length instead", say(goOn), say(strings.Replace(goodHead, "Transfer-Encoding: chunked", "Content-Length: 3", 1) + "\r\nabc"), io.ErrUnexpectedEOF, 0},
		{"bad chunks", say(goOn), say(goodHead + "\r\n-1\r\nabc\r\n" + goodEnd), io.ErrUnexpectedEOF, 0},
		{"huge chunk sizes", say(goOn), say(goodHead + "\r\nffffffffffffffffff\r\nabc\r\n" + goodEnd), io.ErrUnexpectedEOF, 0},
		{"endless trailers", say(goOn), func(nc net.Conn) {
			say1(nc, goodHead+"\r\n0\r\n")
			endless("X: " + strings.Repeat("x", 1000) + "\r\n")(nc)
		}, io.ErrUnexpectedEOF, 0},
		{"endless chunk extensions", say(goOn), func(nc net.Conn) {
			say1(nc, goodHead+"\r\n")
			endless("1;" + strings.Repeat("x", 2000) + "\r\nx\r\n")(nc)
		}, io.ErrUnexpectedEOF, 0},
		{"more than an answer", say(goOn), say(goodHead + "\r\n" + goodEnd + goOn), nil, 0},
		{"a good answer", say(goOn), say(goodHead + "\r\n" + goodEnd), nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := New(Options{Gateway: "g1"})
				slot, far := hostileSlot(t, h)
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer far.Close()
					actHostile(far, tt.before, tt.after)
				}()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				begun := time.Now()
				err := invokeHostile(t, slot)
				if took := time.Since(begun); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				runtime.ReadMemStats(&after)
				if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && err != nil {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 32<<20 {
					t.Errorf("the heap grew by %d bytes", grown)
				}
				_ = slot.conn.net.Close()
				<-done
				if len(h.roster.runners["r1"].idle) != 0 {
					t.Error("the connection is kept") // it has no control connection beside it, too
				}
			})
		})
	}
}

func say1(nc net.Conn, text string) { _, _ = io.WriteString(nc, text) }

// actHostile reads a call as a runner does, and answers as it is told.
func actHostile(nc net.Conn, before, after func(net.Conn)) {
	br := bufio.NewReader(nc)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	if after == nil {
		before(nc)
		return
	}
	say1(nc, goOn)
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	after(nc)
}

// hostileSlot returns a slot and the runner's end of its connection.
func hostileSlot(t *testing.T, h *Hub) (*Slot, net.Conn) {
	t.Helper()
	near, far := new(testenv.Network).Pipe()
	r, err := h.roster.known(&task.Hello{Runner: "r1", Function: "thumbnail", Revision: 3, Start: faas.StartWarm, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !h.roster.park(r, newConn(near, r)) {
		t.Fatal("not parked")
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	return h.roster.claimFrom(r, &Want{Ref: r.hello.Ref(), Invocation: "01912d68-783e-7a0a-9d5c-6d0c5e5f3a11"}), far
}

func invokeHostile(t *testing.T, s *Slot) error {
	t.Helper()
	a, err := s.Invoke(t.Context(), &task.Task{Record: faas.Invocation{ID: s.invocation}}, Body{Small: []byte("x")}, nil)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(a.Body, 1<<20)); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}
