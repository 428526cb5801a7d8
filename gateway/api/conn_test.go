package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestRequestsFollowEachOtherOnOneConnection(t *testing.T) {
	u := startTriggers(t, Limits{})
	// All at once: each body ends where the next request begins.
	conn := u.raw("\r\nPOST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst" +
		"POST /echo/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nsec\r\n3\r\nond\r\n0\r\nTrailer: x\r\n\r\n" +
		"GET /echo/c?x=1 HTTP/1.1\r\nHost: x\r\n\r\n" +
		"POST /echo/d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	r := bufio.NewReader(conn)
	for _, want := range []string{"POST /echo/a? 5", "POST /echo/b? 6", "GET /echo/c?x=1 0", "POST /echo/d? 0"} {
		if got := u.readAnswer(r, "GET"); string(got.body) != want || got.StatusCode != 200 {
			t.Fatalf("got %d %q, want %q", got.StatusCode, got.body, want)
		}
	}
	// And in pieces that end anywhere.
	for _, piece := range strings.SplitAfter("POST /echo/e HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nsev,en!", "") {
		if _, err := io.WriteString(conn, piece); err != nil {
			t.Fatal(err)
		}
	}
	if got := u.readAnswer(r, "POST"); string(got.body) != "POST /echo/e? 7" {
		t.Fatalf("got %q", got.body)
	}
}

// A body that a handler has left alone is read over where it is there already;
// else the connection ends.
func TestUnreadBodies(t *testing.T) {
	u := startTriggers(t, Limits{})
	conn := u.raw("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(conn)
	if got := u.readAnswer(r, "POST"); got.StatusCode != 404 || got.Close {
		t.Fatalf("got %d, close %v", got.StatusCode, got.Close)
	}
	if got := u.readAnswer(r, "GET"); got.StatusCode != 200 {
		t.Fatalf("got %d", got.StatusCode)
	}
	conn = u.raw("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n12345")
	if got := u.readAnswer(bufio.NewReader(conn), "POST"); got.StatusCode != 404 || !got.Close {
		t.Fatalf("got %d, close %v", got.StatusCode, got.Close)
	}
}

func TestExpectContinue(t *testing.T) {
	u := startTriggers(t, Limits{})
	conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(conn, "body")
	if got := u.readAnswer(r, "POST"); string(got.body) != "POST /echo/a? 4" || got.Close {
		t.Fatalf("got %q, close %v", got.body, got.Close)
	}
	// A refusal comes without the 100, and before any byte of the body.
	for name, head := range map[string]string{
		"too large": "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n",
		"not there": "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
		"no token":  "POST /private HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := u.readAnswer(bufio.NewReader(u.raw(head)), "POST")
			if got.StatusCode < 400 || !got.Close {
				t.Fatalf("got %d, close %v", got.StatusCode, got.Close)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	u := startTriggers(t, Limits{})
	t.Run("by its length, before a byte of it", func(t *testing.T) {
		got := u.readAnswer(bufio.NewReader(u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")), "POST")
		got.wantProblem(t, 413, faas.TooLarge, "1Mi")
		if !got.Close {
			t.Fatal("the connection is kept")
		}
	})
	t.Run("the caller who sends it all sees it", func(t *testing.T) {
		for range 20 {
			req := u.request("POST", "/echo/a", io.LimitReader(zeros{}, 8<<20))
			req.ContentLength = 8 << 20
			u.send(req).wantProblem(t, 413, faas.TooLarge)
		}
	})
	t.Run("in chunks, by count", func(t *testing.T) {
		u.send(u.request("POST", "/echo/a", io.LimitReader(zeros{}, 8<<20))).wantProblem(t, 413, faas.TooLarge)
		got := u.send(u.request("POST", "/echo/a", io.LimitReader(zeros{}, 1<<20)))
		if string(got.body) != "POST /echo/a? 1048576" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestHeaderTooLarge(t *testing.T) {
	u := startTriggers(t, Limits{})
	got := u.do("GET", "/echo/a", nil, "X-Large", strings.Repeat("x", 30<<10))
	if got.StatusCode != 200 {
		t.Fatalf("30 KiB of header: %d", got.StatusCode)
	}
	p := u.do("GET", "/echo/a", nil, "X-Large", strings.Repeat("x", 40<<10)).problem(t)
	if p.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Fatalf("got %d", p.Status)
	}
	if got := u.talk("GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Fatalf("got %.100q", got)
	}
}

// A header that comes byte by byte has one deadline; a connection on which
// nothing is asked ends silently; a body that stops is an error of the caller's.
func TestSlowCallers(t *testing.T) {
	u := startTriggers(t, Limits{Header: 150 * time.Millisecond, Idle: 150 * time.Millisecond, Body: 150 * time.Millisecond})
	t.Run("header", func(t *testing.T) {
		conn := u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n")
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					_, _ = io.WriteString(conn, "X: y\r\n")
				}
			}
		}()
		begin := time.Now()
		got := u.readAnswer(bufio.NewReader(conn), "GET")
		close(stop)
		<-done
		if took := time.Since(begin); got.StatusCode != 408 || took > 5*time.Second {
			t.Fatalf("got %d after %s", got.StatusCode, took)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if got := u.talk(""); got != "" {
			t.Fatalf("got %q", got)
		}
	})
	t.Run("nothing for longer than a header may take", func(t *testing.T) {
		u := startTriggers(t, Limits{Header: 50 * time.Millisecond})
		conn := u.raw("")
		<-time.After(200 * time.Millisecond)
		_, err := io.WriteString(conn, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := u.readAnswer(bufio.NewReader(conn), "GET"); err != nil || got.StatusCode != 200 {
			t.Fatalf("got %d, %v", got.StatusCode, err)
		}
	})
	t.Run("idle after a request", func(t *testing.T) {
		got := u.talk("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
		if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("got %q", got)
		}
	})
	t.Run("body", func(t *testing.T) {
		got := u.readAnswer(bufio.NewReader(u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive!")), "POST")
		got.wantProblem(t, 400, faas.Invalid, "stopped arriving")
	})
	t.Run("body cut short", func(t *testing.T) {
		conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive!")
		_ = conn.(*net.TCPConn).CloseWrite()
		u.readAnswer(bufio.NewReader(conn), "POST").wantProblem(t, 400, faas.Invalid, "before it was whole")
	})
}

// While a call is queued nothing is read, and no deadline runs.
func TestNoDeadlineWhileQueued(t *testing.T) {
	u := startTriggers(t, Limits{Header: 100 * time.Millisecond, Body: 100 * time.Millisecond, Write: 100 * time.Millisecond})
	echo := u.caller.answer
	u.caller.answer = func(ctx context.Context, call *faas.Call) (*faas.Reply, error) {
		select {
		case <-time.After(400 * time.Millisecond):
		case <-call.Gone:
			return nil, errors.New("gone")
		}
		return echo(ctx, call)
	}
	if got := u.do("POST", "/echo/a", strings.NewReader("hello")); got.StatusCode != 200 {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
}

func TestSlowReaderIsLetGo(t *testing.T) {
	u := startTriggers(t, Limits{Write: 200 * time.Millisecond})
	body := newFakeBody(zeros{})
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: body}, nil
	}
	u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-body.closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the answer's body is still open")
	}
}

// Who hangs up is noticed while the call waits, behind unread bytes too.
func TestCallerGone(t *testing.T) {
	u := startTriggers(t, Limits{})
	gone := make(chan struct{})
	entered := make(chan struct{}, 1)
	u.caller.answer = func(_ context.Context, call *faas.Call) (*faas.Reply, error) {
		entered <- struct{}{}
		<-call.Gone
		close(gone)
		return nil, faas.Errorf(faas.Cancelled, "the caller hung up")
	}
	conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nunread bytes")
	<-entered
	_ = conn.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("not noticed")
	}
}

// A result that breaks in the middle breaks the connection: chunks without their end.
func TestBrokenResult(t *testing.T) {
	u := startTriggers(t, Limits{})
	fail := errors.New("the runner is lost")
	var size int64
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(io.MultiReader(io.LimitReader(zeros{}, size), failing{fail}))}, nil
	}
	t.Run("late", func(t *testing.T) {
		size = 3 << 20
		got := u.talk("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || strings.HasSuffix(got, "0\r\n\r\n") || len(got) < 3<<20 {
			t.Fatalf("got %d bytes, ending with %q", len(got), got[len(got)-20:])
		}
		req := u.request("GET", "/echo/a", nil)
		client := u.client()
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // broken anyway
		if _, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the client sees %v", err)
		}
	})
	t.Run("early", func(t *testing.T) {
		size = 100
		p := u.do("GET", "/echo/a", nil).wantProblem(t, 503, faas.Unavailable, "fetch it")
		if p.InvocationID == nil || *p.InvocationID != testID {
			t.Fatalf("invocation %v", p.InvocationID)
		}
	})
	if !strings.Contains(u.log.String(), fail.Error()) {
		t.Fatal("the cause is not in the log")
	}
}

// A fault in the middle of a result breaks the connection, and only that.
func TestPanicInAResult(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(io.MultiReader(io.LimitReader(zeros{}, 1<<20), readerFunc(func([]byte) (int, error) { panic("odd result") })))}, nil
	}
	if got := u.talk("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") || strings.HasSuffix(got, "0\r\n\r\n") {
		t.Fatalf("ends with %q", got[len(got)-20:])
	}
	testenv.Eventually(t, "it is in the log", func() bool { return strings.Contains(u.log.String(), "odd result") })
	if got := u.do("GET", "/nothing", nil); got.StatusCode != 404 {
		t.Fatalf("then: %d", got.StatusCode)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestHTTP10(t *testing.T) {
	u := startTriggers(t, Limits{})
	if got := u.talk("GET /echo/a HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "\r\n\r\nGET /echo/a? 0") {
		t.Fatalf("got %q", got)
	}
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(io.LimitReader(zeros{}, 1<<20))}, nil
	}
	if got := u.talk("GET /echo/a HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 505 ") {
		t.Fatalf("got %.200q", got)
	}
}

// A reader that outlives its call is stopped before the connection goes on.
func TestReaderThatOutlivesItsCall(t *testing.T) {
	u := startTriggers(t, Limits{})
	ended := make(chan error, 1)
	u.caller.answer = func(_ context.Context, call *faas.Call) (*faas.Reply, error) {
		reading := make(chan struct{})
		go func() {
			close(reading)
			_, err := io.Copy(io.Discard, call.Body)
			ended <- err
		}()
		<-reading
		return nil, faas.Errorf(faas.Limited, "no room")
	}
	conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive!")
	got := u.readAnswer(bufio.NewReader(conn), "POST")
	if got.StatusCode != 429 || !got.Close || got.Header.Get("Retry-After") != "1" {
		t.Fatalf("got %d, close %v, Retry-After %q", got.StatusCode, got.Close, got.Header.Get("Retry-After"))
	}
	if err := <-ended; err == nil {
		t.Fatal("the reader saw a whole body")
	}
}

func TestPanicIsContained(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) { panic("secret in a panic") }
	got := u.do("GET", "/echo/a", nil)
	p := got.wantProblem(t, 500, faas.Internal)
	if strings.Contains(string(got.body), "secret") {
		t.Fatalf("the cause left the process: %s", got.body)
	}
	if log := u.log.String(); strings.Count(log, "secret in a panic") != 1 || !strings.Contains(log, p.RequestID) {
		t.Fatalf("log: %s", log)
	}
	if got := u.do("GET", "/nothing", nil); got.StatusCode != 404 {
		t.Fatalf("then: %d", got.StatusCode)
	}
}

func TestCauseStaysInside(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return nil, fmt.Errorf("dial redis: %w", &faas.Error{Kind: faas.Unavailable, Detail: "a part is away", Err: errors.New("password=hunter2")})
	}
	got := u.do("GET", "/echo/a", nil)
	got.wantProblem(t, 503, faas.Unavailable, "a part is away")
	if strings.Contains(string(got.body), "hunter2") || got.Header.Get("Retry-After") == "" {
		t.Fatalf("answer: %s", got.body)
	}
	if strings.Count(u.log.String(), "hunter2") != 1 {
		t.Fatalf("log: %s", u.log)
	}
}
