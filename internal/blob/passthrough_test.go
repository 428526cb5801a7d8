package blob_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"davit/internal/blob"
)

const presign = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=d&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=s"

// upstream is a store that keeps the last request that reached it.
type upstream struct {
	answer http.HandlerFunc
	got    *http.Request
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.got = r
	u.answer(w, r)
}

func passThrough(t *testing.T, path string, answer http.HandlerFunc) (*upstream, http.Handler) {
	t.Helper()
	store := &upstream{answer: answer}
	target, err := url.Parse(serve(t, store) + path)
	if err != nil {
		t.Fatal(err)
	}
	return store, blob.NewPassThrough(target)
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "object") }

func TestPassThroughRefuses(t *testing.T) {
	store, handler := passThrough(t, "/bucket", ok)
	for _, c := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/bucket/k?" + presign, 200},
		{"HEAD", "/bucket/k?" + presign, 200},
		{"GET", "/bucket/k", 403},
		{"GET", "/bucket/k?X-Amz-Signature=s", 403},
		{"GET", "/bucket/k?" + strings.Replace(presign, "Signature=s", "Signature=", 1), 403},
		{"GET", "/bucket/k?" + presign + "&X-Amz-Signature=t", 403},
		{"GET", "/bucket/k?" + presign + ";x", 403},
		{"GET", "/bucket/k?" + presign + "&%zz", 403},
		{"GET", "/bucket?" + presign, 403},
		{"GET", "/bucket/?" + presign, 403},
		{"GET", "/?" + presign, 403},
		{"GET", "/bucket2/k?" + presign, 403},
		{"GET", "/minio/health/live?" + presign, 403},
		{"GET", "/bucket/../minio/admin?" + presign, 403},
		{"GET", "/bucket/%2e%2e/minio/admin?" + presign, 403},
		{"GET", "/bucket//k?" + presign, 403},
		{"PUT", "/bucket/k?" + presign, 405},
		{"POST", "/bucket/k?" + presign, 405},
		{"DELETE", "/bucket/k?" + presign, 405},
		{"OPTIONS", "/bucket/k?" + presign, 405},
		{"CONNECT", "/bucket/k?" + presign, 405},
		{"get", "/bucket/k?" + presign, 405},
	} {
		store.got = nil
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), c.method, "http://x"+c.target, nil))
		if recorder.Code != c.want {
			t.Errorf("%s %s: got %d, want %d", c.method, c.target, recorder.Code, c.want)
		}
		if (store.got != nil) != (c.want == http.StatusOK) {
			t.Errorf("%s %s: reached the store: %t", c.method, c.target, store.got != nil)
		}
		if allow := recorder.Header().Get("Allow"); (allow == "GET, HEAD") != (c.want == http.StatusMethodNotAllowed) {
			t.Errorf("%s %s: Allow: %q", c.method, c.target, allow)
		}
	}
}

func TestPassThroughForwardsNoOtherHeaders(t *testing.T) {
	store, handler := passThrough(t, "", ok)
	target := "/bucket/a%20b/%C3%A9+%2B?" + presign + "&response-content-type=a%2fb+c"
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://public.example:8083"+target, strings.NewReader("a body"))
	for _, name := range []string{
		"Authorization", "Cookie", "X-Amz-Security-Token", "X-Amz-Copy-Source", "X-Forwarded-For", "Forwarded", "X-Forwarded-Host",
		"Connection", "Upgrade", "Te", "User-Agent", "Accept-Encoding", "X-Minio-Extract", "Origin", "Referer", "Expect",
	} {
		r.Header.Set(name, "Upgrade")
	}
	r.Header.Set("Range", "bytes=1-2")
	r.Header.Set("If-None-Match", `"e"`)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	if recorder.Code != http.StatusOK {
		t.Fatalf("got %d", recorder.Code)
	}
	want := http.Header{"Range": {"bytes=1-2"}, "If-None-Match": {`"e"`}}
	if got := store.got; got.RequestURI != target || got.Host != "public.example:8083" || !reflect.DeepEqual(got.Header, want) ||
		got.ContentLength != 0 || len(got.TransferEncoding) != 0 {
		t.Errorf("the store got %s %s, host %s, length %d, %v", got.Method, got.RequestURI, got.Host, got.ContentLength, got.Header)
	}
}

func TestPassThroughMakesAnswersHarmless(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
		want   map[string]string
	}{
		"plain": {ok, 200, map[string]string{"Content-Disposition": "attachment"}},
		"the store's own headers": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Disposition", `attachment; filename="x"`)
			w.Header().Set("Content-Security-Policy", "default-src *")
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Server", "MinIO")
			ok(w, r)
		}, 200, map[string]string{"Content-Disposition": `attachment; filename="x"`, "Set-Cookie": "", "Server": ""}},
		"not found": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, 404, nil},
		"not modified": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, 304, nil,
		},
		"redirect": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://inside.example/", http.StatusTemporaryRedirect)
			}, 502, map[string]string{"Location": ""},
		},
		"cut before the header": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, nil},
	} {
		_, handler := passThrough(t, "", c.answer)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/bucket/k?"+presign, nil))
		if recorder.Code != c.status {
			t.Errorf("%s: got %d, want %d", name, recorder.Code, c.status)
		}
		if c.want == nil {
			c.want = map[string]string{}
		}
		c.want["X-Content-Type-Options"], c.want["Content-Security-Policy"] = "nosniff", "sandbox"
		for header, want := range c.want {
			if got := recorder.Header().Get(header); got != want {
				t.Errorf("%s: %s: got %q, want %q", name, header, got, want)
			}
		}
		if strings.Contains(recorder.Body.String(), "inside.example") || strings.Contains(recorder.Body.String(), "127.0.0.1") {
			t.Errorf("%s: the answer contains the store's address: %q", name, recorder.Body)
		}
	}
}

// The handler passes on the bytes of an object as they come. When the store breaks off, the client gets an error and
// not a shorter object.
func TestPassThroughStreams(t *testing.T) {
	goOn := make(chan struct{})
	_, handler := passThrough(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "12")
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-goOn
		panic(http.ErrAbortHandler)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, serve(t, handler)+"/bucket/k?"+presign, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	first := make([]byte, 6)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first " {
		t.Errorf("before the store had sent all: %q, %v", first, err)
	}
	close(goOn)
	if rest, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("a cut object looks whole: %q", rest)
	}
}

func TestPassThroughStoreIsDown(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/bucket/k?"+presign, nil)
	blob.NewPassThrough(target).ServeHTTP(recorder, request)
	if recorder.Code != http.StatusBadGateway || strings.Contains(recorder.Body.String(), "127.0.0.1") {
		t.Errorf("got %d %q", recorder.Code, recorder.Body)
	}
}
