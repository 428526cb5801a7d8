package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"davit/internal/faas"
	"davit/internal/testenv"
)

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

// Bytes that are no request are answered with a problem, and the connection is closed.
func TestWhatIsNoRequestIsAProblem(t *testing.T) {
	u := startTriggers(t, Limits{})
	got := u.talk("nonsense\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "Connection: close\r\n") || !strings.Contains(got, problemType) {
		t.Fatalf("answer %.400q", got)
	}
	if p := u.do("GET", "/echo/a", nil, "X-Large", strings.Repeat("x", 40<<10)).problem(t); p.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Fatalf("a header of 40 KiB: %d", p.Status)
	}
}

func TestTooLarge(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.send(u.request("POST", "/echo/a", io.LimitReader(zeros{}, 8<<20))).wantProblem(t, 413, faas.TooLarge, "1Mi")
	if got := u.send(u.request("POST", "/echo/a", io.LimitReader(zeros{}, 1<<20))); string(got.body) != "POST /echo/a? 1048576" {
		t.Fatalf("got %d %q", got.StatusCode, got.body)
	}
}

func TestARefusalForLackOfRoomSaysWhenToTryAgain(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return nil, faas.Errorf(faas.Limited, "no room")
	}
	got := u.do("POST", "/echo/a", strings.NewReader("body"))
	got.wantProblem(t, 429, faas.Limited, "no room")
	if after := got.Header.Get("Retry-After"); after != "1" {
		t.Fatalf("Retry-After %q", after)
	}
}

// A call's Gone ends when its caller hangs up.
func TestCallerGone(t *testing.T) {
	u := startTriggers(t, Limits{})
	entered, gone := make(chan struct{}, 1), make(chan struct{})
	u.caller.answer = func(_ context.Context, call *faas.Call) (*faas.Reply, error) {
		entered <- struct{}{}
		<-call.Gone
		close(gone)
		return nil, faas.Errorf(faas.Cancelled, "the caller hung up")
	}
	conn := u.raw("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	_ = conn.Close()
	testenv.Returns(t, testenv.Patience, "the call", func() { <-gone })
}

// A result that breaks before its answer was sent is a problem that says where to fetch it.
func TestBrokenResult(t *testing.T) {
	u := startTriggers(t, Limits{})
	fail := errors.New("the runner is lost")
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(io.MultiReader(io.LimitReader(zeros{}, 100), readerFunc(func([]byte) (int, error) { return 0, fail })))}, nil
	}
	p := u.do("GET", "/echo/a", nil).wantProblem(t, 503, faas.Unavailable, "fetch it")
	if p.InvocationID == nil || *p.InvocationID != testID {
		t.Fatalf("invocation %v", p.InvocationID)
	}
	if !strings.Contains(u.log.String(), fail.Error()) {
		t.Fatal("the cause is not in the log")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
