package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"davit/internal/faas"
)

// TestMain looks for goroutines that are left. fasthttp keeps one, for the Date header, to the end of the process.
func TestMain(m *testing.M) {
	status := m.Run()
	if flag.Lookup("test.bench").Value.String() != "" {
		os.Exit(status) // Fiber's own server leaves its workers
	}
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		status = 1
	}
	if status == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == "" {
		status = everythingDescribedWasMet()
	}
	os.Exit(status)
}

// everythingDescribedWasMet fails a run of all tests that leaves out what openapi.yaml describes.
func everythingDescribedWasMet() int {
	doc, err := loaded()
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi.yaml:", err)
		return 1
	}
	missing := doc.unmet()
	slices.Sort(missing)
	for _, what := range missing {
		fmt.Fprintln(os.Stderr, "described in openapi.yaml and met by no test:", what)
	}
	return min(len(missing), 1)
}

const testToken = "the-admin-token-of-the-tests"

// served is a server on a real listener.
type served struct {
	*Server
	t    testing.TB
	addr string
	log  *logBuffer
}

func serve(t testing.TB, s *Server, log *logBuffer) *served {
	t.Helper()
	ln := listen(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shut down: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &served{Server: s, t: t, addr: ln.Addr().String(), log: log}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func dial(t testing.TB, addr string) (net.Conn, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
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

func newLog() (*slog.Logger, *logBuffer) {
	b := &logBuffer{}
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})), b
}

// counted counts requests.
type counted struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counted) Counted(listener, route, method string, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[string]int)
	}
	c.seen[fmt.Sprintf("%s %s %s %d", listener, route, method, code)]++
}

func (c *counted) of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[key]
}

// raw sends bytes as they are and returns the connection.
func (s *served) raw(text string) net.Conn {
	s.t.Helper()
	conn, err := dial(s.t, s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// talk sends bytes as they are and reads all answers until the server closes.
func (s *served) talk(text string) string {
	s.t.Helper()
	conn := s.raw(text)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, err := io.ReadAll(conn)
	if err != nil {
		s.t.Fatalf("read the answer to %.80q: %v (so far %.200q)", text, err, b)
	}
	return string(b)
}

// answer is a response read whole.
type answer struct {
	*http.Response
	body []byte
}

// client does not follow redirects and shares no connections between tests.
func (s *served) client() *http.Client {
	transport := &http.Transport{DisableCompression: true, ExpectContinueTimeout: 5 * time.Second}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *served) request(method, path string, body io.Reader, header ...string) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

func (s *served) do(method, path string, body io.Reader, header ...string) *answer {
	s.t.Helper()
	return s.send(s.request(method, path, body, header...))
}

func (s *served) send(req *http.Request) *answer {
	s.t.Helper()
	client := s.client()
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read body: %v", req.Method, req.URL, err)
	}
	a := &answer{res, b}
	described(s.t, s.name, req, a)
	return a
}

func (a *answer) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	if got := a.Header.Get("Content-Type"); got != problemType {
		t.Fatalf("status %d: Content-Type %q, want a problem; body %.300q", a.StatusCode, got, a.body)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("problem %q: %v", a.body, err)
	}
	if p.Status != a.StatusCode {
		t.Fatalf("problem says %d, the answer %d", p.Status, a.StatusCode)
	}
	return p
}

func (a *answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("decode %.300q: %v", a.body, err)
	}
}

// wantProblem checks status and kind and that the detail holds words.
func (a *answer) wantProblem(t *testing.T, status int, kind faas.Kind, words ...string) problem {
	t.Helper()
	p := a.problem(t)
	if p.Status != status || p.Kind != kind {
		t.Fatalf("problem %d %s (%s), want %d %s", p.Status, p.Kind, p.Detail, status, kind)
	}
	for _, word := range words {
		if !strings.Contains(p.Detail, word) {
			t.Fatalf("detail %q does not hold %q", p.Detail, word)
		}
	}
	return p
}
