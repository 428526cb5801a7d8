package api

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

const onCalls = "/-/invocations/" + string(testID)

func TestRecord(t *testing.T) {
	u := startTriggers(t, Limits{})
	got := u.do("GET", onCalls+"?wait=3s", nil)
	var record struct {
		ID    faas.InvocationID
		Inner any
		Links map[string]string
	}
	got.decode(t, &record)
	if got.StatusCode != 200 || record.ID != testID || record.Inner != nil || record.Links["log"] != onCalls+"/log" || u.invocations.waited != 3*time.Second {
		t.Fatalf("got %d %s, waited %s", got.StatusCode, got.body, u.invocations.waited)
	}
	for _, query := range []string{"?wait=3", "?wait=-1s", "?wait=2h", "?wait=%zz"} {
		req := u.request("GET", "/", nil)
		req.URL.Opaque = "//" + u.addr + onCalls + query
		u.send(req).wantProblem(t, 400, faas.Invalid)
	}
	for _, id := range []string{"nope", strings.ToUpper(string(testID)), "01912d68-783e-7a0a-9d5c-6d0c5e5f3aff", string(testID) + "%2Fresult/extra"} {
		u.do("GET", "/-/invocations/"+id, nil).wantProblem(t, 404, faas.NotFound)
	}
	if got := u.do("HEAD", onCalls, nil); got.StatusCode != 200 || len(got.body) != 0 {
		t.Fatalf("HEAD: %d %q", got.StatusCode, got.body)
	}
	if got := u.do("POST", onCalls+"/cancel", nil); got.StatusCode != 202 {
		t.Fatalf("cancel: %d", got.StatusCode)
	}
	if got := u.do("GET", "/-/healthz", nil); got.StatusCode != 200 {
		t.Fatalf("health: %d", got.StatusCode)
	}
}

func TestPrivateInvocationsAskForTheToken(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.invocations.results[privateID] = zipOf(t, map[string]string{"a.txt": "text"})
	for _, test := range []struct{ method, path string }{
		{"GET", ""}, {"GET", "/result"}, {"GET", "/result/a.txt"}, {"GET", "/log"}, {"POST", "/cancel"},
	} {
		path := "/-/invocations/" + string(privateID) + test.path
		u.do(test.method, path, nil).wantProblem(t, 401, faas.Unauthorized)
		u.do(test.method, path, nil, "Authorization", "Bearer nope").wantProblem(t, 401, faas.Unauthorized)
		u.do(test.method, path, nil, "Cookie", "davit_session=x").wantProblem(t, 401, faas.Unauthorized)
		if got := u.do(test.method, path, nil, "Authorization", "Bearer "+testToken); got.StatusCode >= 300 {
			t.Errorf("%s %s with the token: %d", test.method, path, got.StatusCode)
		}
	}
}

// zipOf makes a zip of files: those that begin with "stored" are not compressed.
func zipOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		method := zip.Deflate
		if strings.HasPrefix(name, "stored") {
			method = zip.Store
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestResult(t *testing.T) {
	u := startTriggers(t, Limits{})
	data := zipOf(t, map[string]string{"out.txt": strings.Repeat("text ", 1000)})
	u.invocations.results[testID] = data
	got := u.do("GET", onCalls+"/result", nil)
	if !bytes.Equal(got.body, data) || got.Header.Get("ETag") != `"abc"` || got.Header.Get("Accept-Ranges") != "bytes" ||
		got.Header.Get("Content-Type") != "application/zip" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment; ") || got.ContentLength != int64(len(data)) {
		t.Fatalf("got %d, %d bytes, %v", got.StatusCode, len(got.body), got.Header)
	}
	n := len(data)
	tests := []struct {
		name, header, value string
		status              int
		want                []byte
		contentRange        string
	}{
		{"first bytes", "Range", "bytes=0-9", 206, data[:10], fmt.Sprintf("bytes 0-9/%d", n)},
		{"the middle", "Range", "bytes=5-5", 206, data[5:6], fmt.Sprintf("bytes 5-5/%d", n)},
		{"to the end", "Range", "bytes=10-", 206, data[10:], fmt.Sprintf("bytes 10-%d/%d", n-1, n)},
		{"past the end", "Range", "bytes=10-999999", 206, data[10:], fmt.Sprintf("bytes 10-%d/%d", n-1, n)},
		{"the last", "Range", "bytes=-4", 206, data[n-4:], fmt.Sprintf("bytes %d-%d/%d", n-4, n-1, n)},
		{"more than all", "Range", "bytes=-999999", 206, data, fmt.Sprintf("bytes 0-%d/%d", n-1, n)},
		{"behind it", "Range", fmt.Sprintf("bytes=%d-", n), 416, nil, fmt.Sprintf("bytes */%d", n)},
		{"nothing", "Range", "bytes=-0", 416, nil, fmt.Sprintf("bytes */%d", n)},
		{"two ranges", "Range", "bytes=0-1,3-4", 200, data, ""},
		{"backwards", "Range", "bytes=9-0", 200, data, ""},
		{"no range", "Range", "bytes=x-y", 200, data, ""},
		{"another unit", "Range", "rows=1-2", 200, data, ""},
		{"the same tag", "If-None-Match", `"x", W/"abc"`, 304, nil, ""},
		{"any tag", "If-None-Match", "*", 304, nil, ""},
		{"another tag", "If-None-Match", `"x"`, 200, data, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := u.do("GET", onCalls+"/result", nil, test.header, test.value)
			if got.StatusCode != test.status || got.Header.Get("Content-Range") != test.contentRange {
				t.Fatalf("got %d, %q", got.StatusCode, got.Header.Get("Content-Range"))
			}
			if test.status != 416 && !bytes.Equal(got.body, test.want) {
				t.Fatalf("got %d bytes", len(got.body))
			}
			if test.status == 416 {
				got.problem(t)
			}
		})
	}
	if got := u.do("GET", onCalls+"/result", nil, "Range", "bytes=0-1", "If-Range", `"old"`); got.StatusCode != 200 {
		t.Errorf("If-Range: %d", got.StatusCode)
	}
	if got := u.do("HEAD", onCalls+"/result", nil); got.ContentLength != int64(n) || got.Header.Get("ETag") == "" {
		t.Errorf("HEAD: %d, %v", got.ContentLength, got.Header)
	}
	if got := u.do("GET", onCalls+"/result?redirect=true", nil); got.StatusCode != 303 || !strings.HasSuffix(got.Header.Get("Location"), "for=15m0s") {
		t.Errorf("redirect: %d %s", got.StatusCode, got.Header.Get("Location"))
	}
	if got := u.do("GET", onCalls+"/result?redirect=true&expires=168h", nil); !strings.HasSuffix(got.Header.Get("Location"), "for=168h0m0s") {
		t.Errorf("redirect: %s", got.Header.Get("Location"))
	}
	u.do("GET", onCalls+"/result?redirect=true&expires=169h", nil).wantProblem(t, 400, faas.Invalid, "expires")
	u.do("GET", onCalls+"/result?redirect=perhaps", nil).wantProblem(t, 400, faas.Invalid, "redirect")
	delete(u.invocations.results, testID)
	u.do("GET", onCalls+"/result", nil).wantProblem(t, 410, faas.Gone)
}

func TestOneFileOfAResult(t *testing.T) {
	u := startTriggers(t, Limits{})
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	files := map[string]string{
		"out.txt": strings.Repeat("text ", 1000), "stored.bin": string(noise), "deep/er/ümlaut \"x\".png": "picture", "empty": "", "big.bin": string(noise[1<<20:]),
		"a%2Fb": "percent",
	}
	for i := range 5000 {
		files[fmt.Sprintf("many/%d", i)] = "x"
	}
	u.invocations.results[testID] = zipOf(t, files)
	for _, name := range []string{"out.txt", "stored.bin", "big.bin", "deep/er/ümlaut \"x\".png", "empty", "many/77", "a%2Fb"} {
		u.invocations.gets = 0
		req := u.request("GET", onCalls+"/result/", nil)
		req.URL.Path += name
		if name == "a%2Fb" {
			req.URL.RawPath = onCalls + "/result/a%252Fb"
		}
		got := u.send(req)
		if got.StatusCode != 200 || string(got.body) != files[name] || got.ContentLength != int64(len(files[name])) {
			t.Fatalf("%s: %d, %d bytes, want %d", name, got.StatusCode, len(got.body), len(files[name]))
		}
		if u.invocations.gets > 12 {
			t.Errorf("%s took %d reads of the store", name, u.invocations.gets)
		}
		if csp := got.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "sandbox") || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", name, got.Header)
		}
		if again := u.do("GET", req.URL.EscapedPath(), nil, "If-None-Match", got.Header.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("%s: %d for its own tag", name, again.StatusCode)
		}
	}
	if got := u.do("HEAD", onCalls+"/result/out.txt", nil); got.ContentLength != 5000 || got.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("HEAD: %v", got.Header)
	}
	u.do("GET", onCalls+"/result/nope", nil).wantProblem(t, 404, faas.NotFound, "nope")
	u.do("GET", onCalls+"/result/deep/", nil).wantProblem(t, 404, faas.NotFound)
	u.do("GET", onCalls+"/result/..%2F..%2Fout.txt", nil).wantProblem(t, 404, faas.NotFound)
	// A file that is broken in the store never looks whole.
	data := bytes.Clone(u.invocations.results[testID])
	at := bytes.Index(data, noise[:64])
	data[at+1000] ^= 1
	u.invocations.results[testID] = data
	res, err := u.client().Do(u.request("GET", onCalls+"/result/stored.bin", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Fatalf("%d bytes of a broken file look whole", len(b))
	}
	u.invocations.results[testID] = []byte("no zip at all")
	u.do("GET", onCalls+"/result/out.txt", nil).wantProblem(t, 500, faas.Internal)
}

func TestLog(t *testing.T) {
	u := startTriggers(t, Limits{})
	got := u.do("GET", onCalls+"/log", nil)
	if string(got.body) != "one\ntwo\n" || got.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("got %q %s", got.body, got.Header.Get("Content-Type"))
	}
	if got = u.do("GET", onCalls+"/log?from=4", nil); string(got.body) != "two\n" {
		t.Fatalf("from 4: %q", got.body)
	}
	if got = u.do("GET", onCalls+"/log?follow=true", nil); string(got.body) != "one\ntwo\n" {
		t.Fatalf("followed: %q", got.body)
	}
	u.do("GET", onCalls+"/log?from=-1", nil).wantProblem(t, 400, faas.Invalid, "from")
	got = u.do("GET", onCalls+"/log?from=2", nil, "Accept", "text/event-stream", "Last-Event-ID", "4")
	want := ": alive\n\nid: 8\ndata: two\ndata: \n\nevent: end\nid: 8\ndata: \n\n"
	if string(got.body) != want || got.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events: %q, want %q", got.body, want)
	}
	u.do("GET", onCalls+"/log", nil, "Accept", "text/event-stream", "Last-Event-ID", "x").wantProblem(t, 400, faas.Invalid, "Last-Event-ID")
}

// A followed log arrives as it is written, and its reader ends when the caller goes.
func TestFollowedLog(t *testing.T) {
	for _, accept := range []string{"text/plain", "text/event-stream"} {
		t.Run(accept, func(t *testing.T) {
			u := startTriggers(t, Limits{Heartbeat: 10 * time.Millisecond})
			r, w := io.Pipe()
			over := make(chan struct{})
			u.invocations.log = func(ctx context.Context, _ int64, _ bool) (io.ReadCloser, error) {
				context.AfterFunc(ctx, func() {
					_ = r.CloseWithError(ctx.Err())
					close(over)
				})
				return r, nil
			}
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			req := u.request("GET", onCalls+"/log?follow=true", nil, "Accept", accept).WithContext(ctx)
			res, err := u.client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			for _, word := range []string{"first", "second"} {
				if _, err := io.WriteString(w, word+"\n"); err != nil {
					t.Fatal(err)
				}
				readUntil(t, res, word)
			}
			hangUp()
			testenv.Returns(t, 5*time.Second, "the reader of the log", func() { <-over })
			_ = w.Close()
		})
	}
}

func readUntil(t *testing.T, res *http.Response, word string) {
	t.Helper()
	var seen bytes.Buffer
	buf := make([]byte, 100)
	for !strings.Contains(seen.String(), word) {
		n, err := res.Body.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			t.Fatalf("read %q: %v", seen.String(), err)
		}
	}
}

func TestStreamsEndWhenTheServerDrains(t *testing.T) {
	u := startTriggers(t, Limits{})
	r, w := io.Pipe()
	defer w.Close()
	u.invocations.log = func(ctx context.Context, _ int64, _ bool) (io.ReadCloser, error) {
		context.AfterFunc(ctx, func() { _ = r.CloseWithError(ctx.Err()) })
		return r, nil
	}
	res, err := u.client().Do(u.request("GET", onCalls+"/log?follow=true", nil, "Accept", "text/event-stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := u.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// Log events never end inside a character, and put together are the log.
func TestLogEventsKeepCharacters(t *testing.T) {
	const text = "äöü\r\nΩ≈ 日本語 🎉 end"
	for size := 1; size < 8; size++ {
		var out bytes.Buffer
		log := io.NopCloser(&slowReader{text: text, size: size})
		if err := followLog(t.Context(), &eventWriter{w: &out}, log, 100, time.Hour); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for event := range strings.SplitSeq(out.String(), "\n\n") {
			var lines []string
			for line := range strings.SplitSeq(event, "\n") {
				if data, ok := strings.CutPrefix(line, "data: "); ok && !strings.HasPrefix(event, "event: end") {
					lines = append(lines, data)
				}
			}
			got.WriteString(strings.Join(lines, "\n"))
		}
		if joined := strings.ReplaceAll(got.String(), "\n\n", "\n"); joined != strings.ReplaceAll(text, "\r\n", "\n") || strings.Contains(out.String(), "\ufffd") {
			t.Fatalf("pieces of %d: %q", size, joined)
		}
		if want := fmt.Sprintf("event: end\nid: %d\n", 100+len(text)); !strings.Contains(out.String(), want) {
			t.Fatalf("pieces of %d: no %q", size, want)
		}
	}
}

type slowReader struct {
	text string
	size int
}

func (s *slowReader) Read(p []byte) (int, error) {
	n := copy(p, s.text[:min(s.size, len(s.text))])
	s.text = s.text[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
