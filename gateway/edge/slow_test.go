package edge

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/internal/faas"
)

// slowly runs a test on one connection in memory, by a clock that does not run while the test waits.
func slowly(t *testing.T, limits Limits, test func(t *testing.T, u *underTest, conn net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := newServer(t, limits)
		conn, wait := u.pipe()
		test(t, u, conn)
		_ = conn.Close()
		wait()
	})
}

// write sends bytes as they are.
func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// A header that comes byte by byte has one deadline; a connection on which nothing is asked ends silently; a body that
// stops is an error of the caller's.
func TestSlowCallers(t *testing.T) {
	const limit = 150 * time.Millisecond
	limits := Limits{Header: limit, Idle: limit, Body: limit}
	t.Run("header", func(t *testing.T) {
		slowly(t, limits, func(t *testing.T, _ *underTest, conn net.Conn) {
			began := time.Now()
			write(t, conn, "GET /echo/a HTTP/1.1\r\nHost: x\r\n")
			var writer sync.WaitGroup
			writer.Go(func() {
				for err := error(nil); err == nil; _, err = io.WriteString(conn, "X: y\r\n") {
					<-time.After(20 * time.Millisecond)
				}
			})
			got := readAnswer(t, bufio.NewReader(conn), "GET")
			if took := time.Since(began); got.StatusCode != 408 || took != limit {
				t.Fatalf("got %d after %s", got.StatusCode, took)
			}
			_ = conn.Close()
			writer.Wait()
		})
	})
	t.Run("nothing", func(t *testing.T) {
		slowly(t, limits, func(t *testing.T, _ *underTest, conn net.Conn) {
			if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	})
	t.Run("nothing for longer than a header may take", func(t *testing.T) {
		slowly(t, Limits{Header: 50 * time.Millisecond}, func(t *testing.T, _ *underTest, conn net.Conn) {
			<-time.After(200 * time.Millisecond)
			write(t, conn, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
			if got := readAnswer(t, bufio.NewReader(conn), "GET"); got.StatusCode != 200 {
				t.Fatalf("got %d", got.StatusCode)
			}
		})
	})
	t.Run("idle after a request", func(t *testing.T) {
		slowly(t, limits, func(t *testing.T, _ *underTest, conn net.Conn) {
			write(t, conn, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
			b, err := io.ReadAll(conn)
			if got := string(b); err != nil || strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 200 ") {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	})
	t.Run("body", func(t *testing.T) {
		slowly(t, limits, func(t *testing.T, _ *underTest, conn net.Conn) {
			write(t, conn, "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive!")
			readAnswer(t, bufio.NewReader(conn), "POST").wantProblem(t, 400, faas.Invalid, "stopped arriving")
		})
	})
}

func TestBodyCutShort(t *testing.T) {
	u := serve(t, Limits{})
	conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive!")
	_ = conn.(*net.TCPConn).CloseWrite()
	readAnswer(t, bufio.NewReader(conn), "POST").wantProblem(t, 400, faas.Invalid, "before it was whole")
}

// While a handler waits, nothing is read and no deadline runs.
func TestNoDeadlineWhileAHandlerWaits(t *testing.T) {
	const limit = 100 * time.Millisecond
	slowly(t, Limits{Header: limit, Body: limit, Write: limit}, func(t *testing.T, u *underTest, conn net.Conn) {
		u.answer = func(r *Request) error {
			select {
			case <-time.After(4 * limit):
			case <-r.Context().Done():
				return errors.New("gone")
			}
			return echo(r)
		}
		write(t, conn, "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		go func() { _, _ = io.WriteString(conn, "hello") }()
		if got := readAnswer(t, bufio.NewReader(conn), "POST"); got.StatusCode != 200 {
			t.Fatalf("got %d %s", got.StatusCode, got.body)
		}
	})
}

func TestSlowReaderIsLetGo(t *testing.T) {
	slowly(t, Limits{Write: 200 * time.Millisecond}, func(t *testing.T, u *underTest, conn net.Conn) {
		closed := make(chan struct{})
		u.answer = func(r *Request) error {
			r.Stream(200, &closing{zeros{}, closed}, -1)
			return nil
		}
		write(t, conn, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
		<-closed
	})
}

// closing is a body that closes a channel when it is closed.
type closing struct {
	io.Reader
	closed chan struct{}
}

func (c *closing) Close() error {
	close(c.closed)
	return nil
}
