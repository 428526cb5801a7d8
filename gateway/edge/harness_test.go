package edge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"davit/internal/faas"
)

// TestMain starts a server before any test, because fasthttp starts a goroutine at its first answer, which sets the
// Date header to the end of the process: it must not start in a bubble of synctest. No other goroutine may be left.
func TestMain(m *testing.M) {
	s := New(Options{Log: slog.New(slog.DiscardHandler), Counted: ignoreCount, Fault: func(*Request, error) {}})
	s.route = s.app.Handler()
	_ = s.http.ServeConn(newConn(context.Background(), &memConn{in: strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), piece: 100}, &s.limits))
	status := m.Run()
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		status = 1
	}
	os.Exit(status)
}

func ignoreCount(string, string, string, int) {}

// underTest is a Server with the handlers of the tests: GET and POST /echo/{name} and POST /huge call answer, and POST
// /private refuses every request.
type underTest struct {
	*Server
	t      testing.TB
	addr   string // empty in a bubble, where there is no listener
	log    *logBuffer
	answer func(r *Request) error
}

func newServer(t testing.TB, limits Limits) *underTest {
	u := &underTest{t: t, log: &logBuffer{}, answer: echo}
	log := slog.New(slog.NewTextHandler(u.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	u.Server = New(Options{Name: "test", Limits: limits, Log: log, Counted: ignoreCount, Fault: func(r *Request, err error) {
		log.Warn("request failed", "request_id", r.ID(), "error", err)
		sendProblem(r, err)
	}})
	call := func(r *Request) error { return u.answer(r) }
	u.Handle(http.MethodGet, "/echo/{name}", call)
	u.Handle(http.MethodPost, "/echo/{name}", call)
	u.Handle(http.MethodPost, "/huge", call)
	u.Handle(http.MethodPost, "/private", func(*Request) error { return faas.Errorf(faas.Unauthorized, "no token") })
	return u
}

// serve serves on a listener of loopback until the test ends.
func serve(t testing.TB, limits Limits) *underTest {
	t.Helper()
	u := newServer(t, limits)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- u.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := u.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shut down: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return u
}

// pipe serves one connection in memory, for a bubble of synctest, and returns the caller's end. The test must close it,
// and then wait.
func (u *underTest) pipe() (near net.Conn, wait func()) {
	near, far := net.Pipe()
	u.route = u.app.Handler()
	u.serving.Add(1)
	go u.serve(newConn(u.base, far, &u.limits), &hangUps{})
	return near, u.serving.Wait
}

// echo answers with the method, the path, the query and the size of the body, which may have 1 MiB.
func echo(r *Request) error {
	body, err := r.Body(1 << 20)
	if err != nil {
		return err
	}
	var n int64
	if body != nil {
		if n, err = io.Copy(io.Discard, body); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s %s?%s %d", r.Method(), r.Path(), r.RawQuery(), n)
	return r.StreamPeeked(http.StatusOK, io.NopCloser(strings.NewReader(text)))
}

// streaming answers with a body.
func streaming(body io.Reader) func(r *Request) error {
	return func(r *Request) error { return r.StreamPeeked(http.StatusOK, io.NopCloser(body)) }
}

const problemType = "application/problem+json"

// problem is what the tests' Options.Fault answers with.
type problem struct {
	Status int
	Kind   faas.Kind
	Detail string
}

func sendProblem(r *Request, err error) {
	p := problem{Status: http.StatusInternalServerError, Kind: faas.Internal}
	if known, ok := errors.AsType[*faas.Error](err); ok {
		p.Kind, p.Detail = known.Kind, known.Detail
		p.Status = map[faas.Kind]int{
			faas.Invalid: 400, faas.Unauthorized: 401, faas.NotFound: 404, faas.MethodNotAllowed: 405, faas.TooLarge: 413, faas.Limited: 429,
		}[known.Kind]
	}
	if special, ok := errors.AsType[*StatusError](err); ok {
		p.Status = special.Status
	}
	b, _ := json.Marshal(p)
	r.Set("Content-Type", problemType)
	r.Send(p.Status, b)
}

// logBuffer holds what was logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// raw sends bytes as they are and returns the connection.
func (u *underTest) raw(text string) net.Conn {
	u.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(u.t.Context(), "tcp", u.addr)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		u.t.Fatal(err)
	}
	return conn
}

// talk sends bytes as they are and reads all answers until the server closes.
func (u *underTest) talk(text string) string {
	u.t.Helper()
	conn := u.raw(text)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, err := io.ReadAll(conn)
	if err != nil {
		u.t.Fatalf("read the answer to %.80q: %v (so far %.200q)", text, err, b)
	}
	return string(b)
}

// answer is a response read whole.
type answer struct {
	*http.Response
	body []byte
}

func readAnswer(t testing.TB, r *bufio.Reader, method string) *answer {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), method, "/", nil)
	res, err := http.ReadResponse(r, req)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return readWhole(t, res)
}

func readWhole(t testing.TB, res *http.Response) *answer {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read answer's body: %v", err)
	}
	return &answer{res, body}
}

// send sends a request by a client of its own.
func (u *underTest) send(method, path string, body io.Reader, size int64, header ...string) *answer {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, "http://"+u.addr+path, body)
	if err != nil {
		u.t.Fatal(err)
	}
	req.ContentLength = size
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	transport := &http.Transport{DisableCompression: true, ExpectContinueTimeout: 5 * time.Second}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		u.t.Fatalf("%s %s: %v", method, path, err)
	}
	return readWhole(u.t, res)
}

// wantProblem checks status and kind and that the detail holds words.
func (a *answer) wantProblem(t *testing.T, status int, kind faas.Kind, words ...string) {
	t.Helper()
	var p problem
	if got := a.Header.Get("Content-Type"); got != problemType {
		t.Fatalf("status %d: Content-Type %q, want a problem; body %.300q", a.StatusCode, got, a.body)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("problem %q: %v", a.body, err)
	}
	if a.StatusCode != status || p.Kind != kind {
		t.Fatalf("status %d, problem %s (%s), want %d %s", a.StatusCode, p.Kind, p.Detail, status, kind)
	}
	for _, word := range words {
		if !strings.Contains(p.Detail, word) {
			t.Fatalf("detail %q does not hold %q", p.Detail, word)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
