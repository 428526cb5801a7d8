package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func object(text string) Object {
	return Object{Size: int64(len(text)), ContentType: "text/x", Open: func() io.ReadCloser {
		return io.NopCloser(strings.NewReader(text))
	}}
}

// server answers with each handler in turn, then with the last again.
func server(t *testing.T, handlers ...http.HandlerFunc) (address string, calls *atomic.Int64) {
	t.Helper()
	calls = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1))
		handlers[min(n, len(handlers))-1](w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/key?signature=secret", calls
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestPutTriesUntilItIsStored(t *testing.T) {
	for _, text := range []string{"", "text", strings.Repeat("much ", 100_000)} {
		var got []byte
		var length int64
		var kind string
		to, calls := server(t, status(503), abort, status(429), func(_ http.ResponseWriter, r *http.Request) {
			got, _ = io.ReadAll(r.Body)
			length, kind = r.ContentLength, r.Header.Get("Content-Type")
		})
		c := New()
		err := c.Put(t.Context(), to, object(text))
		c.Close()
		if err != nil || string(got) != text || length != int64(len(text)) || kind != "text/x" || calls.Load() != 4 {
			t.Fatalf("%d bytes: %v, got %d, length %d, type %q, %d calls", len(text), err, len(got), length, kind, calls.Load())
		}
	}
}

func TestRefusedIsNotTriedAgain(t *testing.T) {
	for _, code := range []int{301, 400, 403, 404, 411} {
		to, calls := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "because")
		})
		c := New()
		for _, err := range []error{
			c.Put(t.Context(), to, object("x")),
			c.Get(t.Context(), to, func() io.Writer { return io.Discard }),
		} {
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "because") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%d: %v", code, err)
			}
		}
		if calls.Load() != 2 {
			t.Errorf("%d: %d calls", code, calls.Load())
		}
		c.Close()
	}
}

func TestGivesUpWhenItsTimeIsOver(t *testing.T) {
	to, _ := server(t, status(503))
	c := New()
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := c.Put(ctx, to, object("x"))
	if err == nil || errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "secret") {
		t.Fatalf("got %v", err)
	}
	err = c.Put(ctx, "http://127.0.0.1:1/?signature=secret", object("x"))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatalf("got %v", err)
	}
}

func TestGetStartsAgainWhenItIsCut(t *testing.T) {
	whole := strings.Repeat("text ", 50_000)
	from, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "250000")
		_, _ = io.WriteString(w, whole[:100_000])
		panic(http.ErrAbortHandler)
	}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole) })
	c := New()
	defer c.Close()
	var got *bytes.Buffer
	err := c.Get(t.Context(), from, func() io.Writer { got = new(bytes.Buffer); return got })
	if err != nil || got.String() != whole {
		t.Fatalf("%v, %d bytes", err, got.Len())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestGetDoesNotTryAgainWhatItsPlaceRefuses(t *testing.T) {
	from, calls := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	c := New()
	defer c.Close()
	err := c.Get(t.Context(), from, func() io.Writer { return full{} })
	if err == nil || !strings.Contains(err.Error(), "disk full") || calls.Load() != 1 {
		t.Fatalf("%v after %d calls", err, calls.Load())
	}
}

func TestStalledIsTriedAgain(t *testing.T) {
	hang := make(chan struct{})
	to, calls := server(t, func(http.ResponseWriter, *http.Request) { <-hang }, status(200))
	defer close(hang)
	c := New()
	defer c.Close()
	c.Stall = 200 * time.Millisecond
	if err := c.Put(t.Context(), to, object("x")); err != nil || calls.Load() != 2 {
		t.Fatalf("%v after %d calls", err, calls.Load())
	}
}
