package edge

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// A caller who hangs up is noticed while the handler waits, behind unread bytes too.
func TestCallerGone(t *testing.T) {
	u := serve(t, Limits{})
	entered, gone := make(chan struct{}, 1), make(chan struct{})
	u.answer = func(r *Request) error {
		entered <- struct{}{}
		<-r.Context().Done()
		close(gone)
		return faas.Errorf(faas.Cancelled, "the caller hung up")
	}
	conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nunread bytes")
	<-entered
	_ = conn.Close()
	testenv.Returns(t, testenv.Patience, "the handler", func() { <-gone })
}

// A body that breaks in the middle breaks the connection: chunks without their end.
func TestBrokenBody(t *testing.T) {
	u := serve(t, Limits{})
	fail := errors.New("the runner is lost")
	u.answer = func(r *Request) error {
		return streaming(io.MultiReader(io.LimitReader(zeros{}, 3<<20), failing{fail}))(r)
	}
	got := u.talk("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || strings.HasSuffix(got, "0\r\n\r\n") || len(got) < 3<<20 {
		t.Fatalf("got %d bytes, ending with %q", len(got), got[len(got)-20:])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+u.addr+"/echo/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("the client sees %v", err)
	}
	if !strings.Contains(u.log.String(), fail.Error()) {
		t.Fatal("the cause is not in the log")
	}
}

// A panic in the middle of a body breaks the connection, and only that.
func TestPanicInABody(t *testing.T) {
	u := serve(t, Limits{})
	u.answer = func(r *Request) error {
		return streaming(io.MultiReader(io.LimitReader(zeros{}, 1<<20), readerFunc(func([]byte) (int, error) { panic("odd result") })))(r)
	}
	if got := u.talk("GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") || strings.HasSuffix(got, "0\r\n\r\n") {
		t.Fatalf("ends with %q", got[len(got)-20:])
	}
	testenv.Eventually(t, "it is in the log", func() bool { return strings.Contains(u.log.String(), "odd result") })
	if got := u.send("GET", "/nothing", nil, 0); got.StatusCode != 404 {
		t.Fatalf("then: %d", got.StatusCode)
	}
}

func TestHTTP10(t *testing.T) {
	u := serve(t, Limits{})
	if got := u.talk("GET /echo/a HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "\r\n\r\nGET /echo/a? 0") {
		t.Fatalf("got %q", got)
	}
	u.answer = func(r *Request) error { return streaming(io.LimitReader(zeros{}, 1<<20))(r) }
	if got := u.talk("GET /echo/a HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 505 ") {
		t.Fatalf("got %.200q", got)
	}
}

// A reader that outlives its request is stopped before the connection goes on.
func TestReaderThatOutlivesItsRequest(t *testing.T) {
	u := serve(t, Limits{})
	ended := make(chan error, 1)
	u.answer = func(r *Request) error {
		body, err := r.Body(1 << 20)
		if err != nil {
			return err
		}
		reading := make(chan struct{})
		go func() {
			close(reading)
			_, err := io.Copy(io.Discard, body)
			ended <- err
		}()
		<-reading
		return faas.Errorf(faas.Limited, "no room")
	}
	conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive!")
	if got := readAnswer(t, bufio.NewReader(conn), "POST"); got.StatusCode != 429 || !got.Close {
		t.Fatalf("got %d, close %v", got.StatusCode, got.Close)
	}
	if err := <-ended; err == nil {
		t.Fatal("the reader saw a whole body")
	}
}
