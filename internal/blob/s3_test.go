package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"davit/internal/blob"
	"davit/internal/testenv"
)

func TestNewS3Refuses(t *testing.T) {
	good := blob.S3Options{Endpoint: "127.0.0.1:9000", Bucket: "bucket", AccessKey: "a", SecretKey: "s"}
	for name, change := range map[string]func(*blob.S3Options){
		"no endpoint":             func(o *blob.S3Options) { o.Endpoint = "" },
		"no bucket":               func(o *blob.S3Options) { o.Bucket = "" },
		"a path":                  func(o *blob.S3Options) { o.Endpoint = "http://x/path" },
		"a path without a scheme": func(o *blob.S3Options) { o.Endpoint = "x/path" },
		"a login":                 func(o *blob.S3Options) { o.Endpoint = "http://u:p@x" },
		"another scheme":          func(o *blob.S3Options) { o.Endpoint = "ftp://x" },
		"no URL":                  func(o *blob.S3Options) { o.Endpoint = "http://[x" },
		"runners' endpoint":       func(o *blob.S3Options) { o.RunnerEndpoint = "http://x?y=z" },
		"public endpoint":         func(o *blob.S3Options) { o.PublicEndpoint = "http://" },
	} {
		o := good
		change(&o)
		if _, err := blob.NewS3(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := blob.NewS3(good); err != nil {
		t.Error(err)
	}
}

// Signing makes no request: nothing listens at these addresses.
func TestS3SignsOffline(t *testing.T) {
	store := openS3(t, blob.S3Options{
		Endpoint: "store.internal:9000", RunnerEndpoint: "http://runners.example:9001", PublicEndpoint: "https://public.example",
		Region: "eu-nowhere-1", Bucket: "missing", AccessKey: "main", SecretKey: "s",
		DownloadAccessKey: "readonly", DownloadSecretKey: "r",
	})
	get, err1 := store.SignGet(t.Context(), "a/b c", time.Hour, blob.SignOptions{Filename: "x.zip"})
	runnerGet, err2 := store.SignRunnerGet(t.Context(), "a/b c", time.Hour)
	put, err3 := store.SignPut(t.Context(), "a/b c", time.Hour)
	part, err4 := store.SignPart(t.Context(), "a/b c", "upload", 7, time.Hour)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ address, start, credential string }{
		{get, "https://public.example/missing/a/b%20c?", "readonly/"},
		{runnerGet, "http://runners.example:9001/missing/a/b%20c?", "main/"},
		{put, "http://runners.example:9001/missing/a/b%20c?", "main/"},
		{part, "http://runners.example:9001/missing/a/b%20c?", "main/"},
	} {
		u, err := url.Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		credential := u.Query().Get("X-Amz-Credential")
		if !strings.HasPrefix(c.address, c.start) || !strings.HasPrefix(credential, c.credential) ||
			!strings.Contains(credential, "/eu-nowhere-1/s3/") || u.Query().Get("X-Amz-Expires") != "3600" {
			t.Errorf("got %s", c.address)
		}
	}
	for _, n := range []int{-1, 0, 10_001} {
		if _, err := store.SignPart(t.Context(), "k", "upload", n, time.Hour); err == nil {
			t.Errorf("part %d was signed", n)
		}
	}
}

// methods calls every method that makes a request to the server.
func methods(ctx context.Context, store *blob.S3) map[string]error {
	_, putErr := store.Put(ctx, "new/small", strings.NewReader("x"), 1, blob.PutOptions{})
	_, bigErr := store.Put(ctx, "new/big", bytes.NewReader(make([]byte, 1<<20)), 1<<20, blob.PutOptions{})
	_, unknownErr := store.Put(ctx, "new/unknown", bytes.NewReader(make([]byte, 1<<20)), -1, blob.PutOptions{})
	_, ifAbsentErr := store.Put(ctx, "new/if-absent", strings.NewReader("x"), 1, blob.PutOptions{IfAbsent: true})
	_, _, getErr := store.Get(ctx, "k", 0, -1)
	_, _, rangeErr := store.Get(ctx, "k", 5, 0)
	_, statErr := store.Stat(ctx, "k")
	_, startErr := store.StartMultipart(ctx, "k")
	var listErr error
	for _, listErr = range store.List(ctx, "", "") {
		if listErr != nil {
			break
		}
	}
	return map[string]error{
		"put": putErr, "put big": bigErr, "put unknown": unknownErr, "put if absent": ifAbsentErr, "get": getErr, "get nothing": rangeErr,
		"stat": statErr, "delete": store.Delete(ctx, "k"), "list": listErr, "ready": store.Ready(ctx), "start multipart": startErr,
		"complete": store.Complete(ctx, "k", "id", []string{"x"}), "abort": store.Abort(ctx, "k", "id"), "ensure bucket": store.EnsureBucket(ctx),
	}
}

func TestS3ServerGoneHungAndBack(t *testing.T) {
	server := testenv.S3(t)
	store := newS3(t, server)
	put(t, store, "kept", "acknowledged")

	server.Kill()
	testenv.Returns(t, 40*time.Second, "14 methods without a server", func() {
		for name, err := range methods(t.Context(), store) {
			if !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("server gone: %s: got %v", name, err)
			}
		}
	})

	server.Start()
	if got := read(t, store, "kept"); got != "acknowledged" {
		t.Errorf("after the server was killed: %q", got)
	}
	server.Pause()
	for name, err := range hungMethods(t, store) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("server hung: %s: got %v", name, err)
		}
	}
	server.Resume()
	if err := store.Ready(t.Context()); err != nil {
		t.Errorf("server back: %v", err)
	}
}

func hungMethods(t *testing.T, store *blob.S3) map[string]error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, putErr := store.Put(ctx, "new", bytes.NewReader(make([]byte, 1<<20)), 1<<20, blob.PutOptions{})
	_, statErr := store.Stat(ctx, "kept")
	return map[string]error{"put": putErr, "stat": statErr, "ready": store.Ready(ctx)}
}

func TestS3ServerKilledInTheMiddle(t *testing.T) {
	const size = 64 << 20
	server := testenv.S3(t)
	store := newS3(t, server)
	for _, announced := range []int64{size, -1} {
		sent := 0
		body := readerFunc(func(p []byte) (int, error) {
			if sent == size {
				return 0, io.EOF
			}
			if sent >= size*3/4 && sent < size*3/4+len(p) {
				server.Kill()
			}
			n := min(len(p), size-sent)
			sent += n
			return n, nil
		})
		_, err := store.Put(t.Context(), "k", body, announced, blob.PutOptions{})
		if !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("put: %v", err)
		}
		server.Start()
		if _, err := store.Stat(t.Context(), "k"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("stat: %v", err)
		}
	}
	if _, err := store.Put(t.Context(), "k", bytes.NewReader(make([]byte, size)), size, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	r, _, err := store.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	n, err := io.Copy(io.Discard, r)
	if n == size || !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("get: read %d bytes, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestS3CountsItsConnections: a connection counts from its dial until its end.
func TestS3CountsItsConnections(t *testing.T) {
	store := openS3(t, s3Options(t, testenv.S3(t)))
	put(t, store, "k", strings.Repeat("x", 16<<20)) // more than is read ahead
	r, _, err := store.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if n := store.Connections(); n < 1 {
		t.Errorf("during a download: %d", n)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the connections are closed", func() bool { return store.Connections() == 0 })
}

func TestS3Misconfigured(t *testing.T) {
	server := testenv.S3(t)
	for name, change := range map[string]func(*blob.S3Options){
		"bucket":     func(o *blob.S3Options) { o.Bucket = "missing-bucket" },
		"access key": func(o *blob.S3Options) { o.AccessKey, o.Bucket = "who", "missing" },
		"secret key": func(o *blob.S3Options) { o.SecretKey, o.Bucket = "wrong-secret", "missing" },
	} {
		o := s3Options(t, server)
		change(&o)
		store := openS3(t, o)
		_, putErr := store.Put(t.Context(), "k", strings.NewReader("x"), 1, blob.PutOptions{})
		_, _, getErr := store.Get(t.Context(), "k", 0, -1)
		for what, err := range map[string]error{"put": putErr, "get": getErr, "ready": store.Ready(t.Context())} {
			if !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("%s: %s: got %v", name, what, err)
			}
		}
	}
}

// These are answers of other servers than MinIO, and rare answers of MinIO.
func TestS3AnswersAreTranslated(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", blob.ErrNotFound},
		{404, "NoSuchBucket", blob.ErrUnavailable},
		{404, "XAdminUserNotFound", blob.ErrUnavailable},
		{412, "PreconditionFailed", blob.ErrExists},
		{400, "KeyTooLongError", blob.ErrInvalidKey},
		{400, "EntityTooSmall", blob.ErrMismatch},
		{400, "RequestTimeout", blob.ErrUnavailable},
		{403, "AccessDenied", blob.ErrUnavailable},
		{409, "ConditionalRequestConflict", blob.ErrUnavailable},
		{429, "TooManyRequests", blob.ErrUnavailable},
		{500, "InternalError", blob.ErrUnavailable},
		{503, "SlowDown", blob.ErrUnavailable},
		{507, "XMinioStorageFull", blob.ErrUnavailable},
	} {
		address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(c.status)
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", c.code)
		}))
		store := openS3(t, blob.S3Options{Endpoint: address, Bucket: "missing", AccessKey: "a", SecretKey: "s"})
		_, _, err := store.Get(t.Context(), "k", 0, -1)
		if !errors.Is(err, c.want) {
			t.Errorf("get: %d %s: got %v, want %v", c.status, c.code, err, c.want)
		}
		_, err = store.Put(t.Context(), "k", bytes.NewReader(make([]byte, 1<<20)), 1<<20, blob.PutOptions{})
		if !errors.Is(err, c.want) {
			t.Errorf("put: %d %s: got %v, want %v", c.status, c.code, err, c.want)
		}
	}
	store := openS3(t, blob.S3Options{
		Endpoint: serve(t, http.NotFoundHandler()), Bucket: "missing", AccessKey: "a", SecretKey: "s",
	})
	if err := store.Ready(t.Context()); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("no S3 at all: %v", err)
	}
}

func TestS3MultipartSigned(t *testing.T) { onEachServer(t, s3MultipartSigned) }

func s3MultipartSigned(t *testing.T, server *testenv.S3Server) {
	store := newS3(t, server)
	const partBytes = 5 << 20
	bodies := []string{strings.Repeat("a", partBytes), strings.Repeat("b", partBytes), "the end"}
	id, err := store.StartMultipart(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	etags := make([]string, len(bodies))
	for i, body := range bodies {
		address, err := store.SignPart(t.Context(), "k", id, i+1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		status, header := fetch(t, http.MethodPut, address, body)
		if status != http.StatusOK {
			t.Fatalf("part %d: %d", i+1, status)
		}
		etags[i] = header.Get("ETag")
		if i == 0 { // a URL is for one part of one upload
			for _, change := range [][2]string{{"partNumber=1", "partNumber=2"}, {"uploadId=", "uploadId=x"}, {"partNumber=1&", ""}} {
				if status, _ := fetch(t, http.MethodPut, strings.Replace(address, change[0], change[1], 1), "x"); status/100 != 4 {
					t.Errorf("%s: %d", change[1], status)
				}
			}
		}
	}
	if _, err := store.Stat(t.Context(), "k"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("before it is complete: %v", err)
	}
	wrong := []string{etags[0], etags[0], etags[2]}
	if err := store.Complete(t.Context(), "k", id, wrong); !errors.Is(err, blob.ErrMismatch) {
		t.Errorf("with a wrong ETag: %v", err)
	}
	if err := store.Complete(t.Context(), "k", id, etags); err != nil {
		t.Fatal(err)
	}
	if got := read(t, store, "k"); got != strings.Join(bodies, "") {
		t.Errorf("got %d bytes", len(got))
	}
	if err := store.Complete(t.Context(), "other", "no-such-upload", etags); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("no such upload: %v", err)
	}
}

func TestS3MultipartAborted(t *testing.T) { onEachServer(t, s3MultipartAborted) }

func s3MultipartAborted(t *testing.T, server *testenv.S3Server) {
	store := newS3(t, server)
	id, err := store.StartMultipart(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	address, err := store.SignPart(t.Context(), "k", id, 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, header := fetch(t, http.MethodPut, address, "x")
	for range 2 { // the second time there is nothing to abort
		if err := store.Abort(t.Context(), "k", id); err != nil {
			t.Error(err)
		}
	}
	if status, _ := fetch(t, http.MethodPut, address, "x"); status != http.StatusNotFound {
		t.Errorf("a part after the abort: %d", status)
	}
	if err := store.Complete(t.Context(), "k", id, []string{header.Get("ETag")}); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("complete after abort: %v", err)
	}
	for _, key := range []blob.Key{"", "a//b"} {
		_, startErr := store.StartMultipart(t.Context(), key)
		for _, err := range []error{startErr, store.Complete(t.Context(), key, "x", nil), store.Abort(t.Context(), key, "x")} {
			if !errors.Is(err, blob.ErrInvalidKey) {
				t.Errorf("%q: %v", key, err)
			}
		}
	}
}

func fetch(t *testing.T, method, address, body string) (int, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header
}
