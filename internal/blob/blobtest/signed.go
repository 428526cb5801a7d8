package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"davit/internal/blob"
)

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

func request(t *testing.T, method, address string, body io.Reader, size int64) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.ContentLength = size
	}
	return r
}

// do sends a request without following a redirect and without keeping the connection.
func do(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func send(t *testing.T, method, address string, body io.Reader, size int64) answer {
	t.Helper()
	return whole(t, do(t, request(t, method, address, body, size)))
}

func whole(t *testing.T, response *http.Response) answer {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func sign(t *testing.T) func(address string, err error) string {
	return func(address string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
}

func (s suite) signedDownloads(t *testing.T) {
	store, signer := s.open(t)
	text := content(5000, 1)
	info, err := store.Put(t.Context(), "r/result.zip", bytes.NewReader(text), 5000, blob.PutOptions{ContentType: "text/html"})
	if err != nil {
		t.Fatal(err)
	}
	address := sign(t)(signer.SignGet(t.Context(), "r/result.zip", time.Minute, blob.SignOptions{}))
	plain := send(t, http.MethodGet, address, nil, 0)
	if plain.status != http.StatusOK || plain.body != string(text) {
		t.Fatalf("GET: %d, %d bytes", plain.status, len(plain.body))
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html", "Content-Length": "5000", "Etag": `"` + info.ETag + `"`, "Accept-Ranges": "bytes",
		"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox",
	} {
		if got := plain.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		header, value string
		status        int
		body          string
	}{
		{"Range", "bytes=10-19", http.StatusPartialContent, string(text[10:20])},
		{"Range", "bytes=4990-", http.StatusPartialContent, string(text[4990:])},
		{"Range", "bytes=-5", http.StatusPartialContent, string(text[4995:])},
		{"If-None-Match", `"` + info.ETag + `"`, http.StatusNotModified, ""},
		{"If-None-Match", `"other"`, http.StatusOK, string(text)},
	} {
		r := request(t, http.MethodGet, address, nil, 0)
		r.Header.Set(c.header, c.value)
		if a := whole(t, do(t, r)); a.status != c.status || a.body != c.body {
			t.Errorf("%s %s: got %d with %d bytes, want %d with %d", c.header, c.value, a.status, len(a.body), c.status, len(c.body))
		}
	}
	r := request(t, http.MethodGet, address, nil, 0)
	r.Header.Set("Range", "bytes=5000-")
	if a := whole(t, do(t, r)); a.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range past the end: %d", a.status)
	}
	missing := sign(t)(signer.SignGet(t.Context(), "r/missing", time.Minute, blob.SignOptions{}))
	if a := send(t, http.MethodGet, missing, nil, 0); a.status != http.StatusNotFound {
		t.Errorf("an object that does not exist: %d", a.status)
	}
	signedOptions(t, signer)
}

func signedOptions(t *testing.T, signer blob.Signer) {
	t.Helper()
	for _, filename := range []string{"plain.zip", "two words.zip", `qu"o\te.zip`, "grün 日本.zip", "a;b=c.zip", "../../x", "x\r\nSet-Cookie: a=b"} {
		o := blob.SignOptions{Filename: filename, ContentType: "application/zip"}
		a := send(t, http.MethodGet, sign(t)(signer.SignGet(t.Context(), "r/result.zip", time.Minute, o)), nil, 0)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/zip" || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%q: %d %v", filename, a.status, a.header)
		}
		kind, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
		filename = strings.NewReplacer("/", "_", `\`, "_").Replace(filename)
		if err != nil || kind != "attachment" || params["filename"] != filename {
			t.Errorf("%q: disposition %q: %q, %v", filename, a.header.Get("Content-Disposition"), params["filename"], err)
		}
	}
}

func (s suite) signedRunnerDownloads(t *testing.T) {
	store, signer := s.open(t)
	put(t, store, "i/input", []byte("in"))
	address := sign(t)(signer.SignRunnerGet(t.Context(), "i/input", time.Minute))
	if a := send(t, http.MethodGet, address, nil, 0); a.status != http.StatusOK || a.body != "in" {
		t.Errorf("got %+v", a)
	}
}

func (s suite) signedUploads(t *testing.T) {
	store, signer := s.open(t)
	address := sign(t)(signer.SignPut(t.Context(), "i/1/result.zip", time.Minute))
	for _, size := range []int{10, 100 << 10, 0, 1} { // again and again: it replaces
		body := content(size, uint64(size))
		r := request(t, http.MethodPut, address, bytes.NewReader(body), int64(size))
		if size == 0 {
			r.Body = http.NoBody
		}
		r.Header.Set("Content-Type", "application/zip")
		a := whole(t, do(t, r))
		if a.status != http.StatusOK {
			t.Fatalf("PUT of %d bytes: %+v", size, a)
		}
		same(t, "content", get(t, store, "i/1/result.zip"), body)
		info, err := store.Stat(t.Context(), "i/1/result.zip")
		if err != nil || info.ContentType != "application/zip" || `"`+info.ETag+`"` != a.header.Get("ETag") {
			t.Errorf("stat: %+v, %v; the answer's ETag was %s", info, err, a.header.Get("ETag"))
		}
	}
}

func (s suite) brokenSignedUploads(t *testing.T) {
	store, signer := s.open(t)
	address := sign(t)(signer.SignPut(t.Context(), "i/result", time.Minute))
	chunked := request(t, http.MethodPut, address, strings.NewReader("body"), -1)
	if a := whole(t, do(t, chunked)); a.status != http.StatusLengthRequired {
		t.Errorf("without Content-Length: %d", a.status)
	}
	absent(t, store, "i/result")

	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, sent := range []int{0, 10, 200 << 10} {
		text := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s",
			u.RequestURI(), u.Host, 300<<10, content(sent, 1))
		status := sendRaw(t, u.Host, text)
		if s.server.KeepsCutUploads {
			continue // the server stores the object, which its uploader never reports
		}
		if status == http.StatusOK {
			t.Errorf("%d of 300 KiB sent: it was accepted", sent)
		}
		absent(t, store, "i/result")
	}
}

// sendRaw sends bytes, closes the connection for writing, and returns the answer's status, 0 for none. When it returns,
// the server has finished with the request.
func sendRaw(t *testing.T, host, text string) int {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(conn) // a reset counts as no answer
	var status int
	_, _ = fmt.Sscanf(string(got), "HTTP/1.1 %d", &status)
	return status
}

func (s suite) signedForOneMethod(t *testing.T) {
	store, signer := s.open(t)
	put(t, store, "k", []byte("old"))
	signed := map[string]string{
		http.MethodGet + " public":  sign(t)(signer.SignGet(t.Context(), "k", time.Minute, blob.SignOptions{})),
		http.MethodGet + " runners": sign(t)(signer.SignRunnerGet(t.Context(), "k", time.Minute)),
		http.MethodPut + " runners": sign(t)(signer.SignPut(t.Context(), "k", time.Minute)),
	}
	for name, address := range signed {
		own, _, _ := strings.Cut(name, " ")
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch, "PROPFIND"} {
			if method == own || own == http.MethodGet && method == http.MethodHead {
				continue
			}
			var body io.Reader
			if method == http.MethodPut || method == http.MethodPost {
				body = strings.NewReader("new")
			}
			if a := send(t, method, address, body, 3); a.status/100 != 4 && a.status != http.StatusNotImplemented {
				t.Errorf("%s with a URL for %s: got %d", method, name, a.status)
			}
		}
	}
	same(t, "content", get(t, store, "k"), []byte("old"))
}

func (s suite) signedTampered(t *testing.T) {
	store, signer := s.open(t)
	for _, key := range []blob.Key{"k", "k2"} {
		put(t, store, key, []byte("secret of "+key))
	}
	o := blob.SignOptions{Filename: "f.zip", ContentType: "application/zip"}
	get := sign(t)(signer.SignGet(t.Context(), "k", time.Minute, o))
	put := sign(t)(signer.SignPut(t.Context(), "new", time.Minute))
	if a := send(t, http.MethodGet, get, nil, 0); a.status != http.StatusOK {
		t.Fatalf("untouched: %+v", a)
	}
	for what, tampered := range tamperings(t, get, "k", "k2") {
		if a := send(t, http.MethodGet, tampered, nil, 0); a.status < 400 || a.status >= 500 || strings.Contains(a.body, "secret") {
			t.Errorf("GET with %s: got %d %q", what, a.status, a.body)
		}
	}
	for what, tampered := range tamperings(t, put, "new", "other") {
		if a := send(t, http.MethodPut, tampered, strings.NewReader("x"), 1); a.status < 400 || a.status >= 500 {
			t.Errorf("PUT with %s: got %d", what, a.status)
		}
	}
	absent(t, store, "new")
	absent(t, store, "other")
}

// tamperings returns URLs, each of which differs from a signed one in one thing.
func tamperings(t *testing.T, address, key, otherKey string) map[string]string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{}
	edit := func(what string, change func(*url.URL, url.Values)) {
		c, query := *u, u.Query()
		change(&c, query)
		c.RawQuery = query.Encode()
		changed[what] = c.String()
	}
	edit("another key", func(u *url.URL, _ url.Values) { u.Path = strings.TrimSuffix(u.Path, key) + otherKey })
	edit("a longer key", func(u *url.URL, _ url.Values) { u.Path += "/x" })
	edit("a climbing key", func(u *url.URL, _ url.Values) { u.Path = strings.TrimSuffix(u.Path, key) + otherKey + "/../" + key })
	edit("another parameter", func(_ *url.URL, q url.Values) { q.Set("response-content-type", "text/html") })
	edit("no query", func(_ *url.URL, q url.Values) { clear(q) })
	for name, values := range u.Query() {
		edit("no "+name, func(_ *url.URL, q url.Values) { q.Del(name) })
		edit("empty "+name, func(_ *url.URL, q url.Values) { q.Set(name, "") })
		edit("changed "+name, func(_ *url.URL, q url.Values) { q.Set(name, flip(values[0])) })
	}
	return changed
}

// flip changes the last hexadecimal digit, so that a number stays a number.
func flip(s string) string {
	b := []byte(s)
	for i := len(b) - 1; i >= 0; i-- {
		switch c := b[i]; {
		case c >= '0' && c <= '8' || c >= 'a' && c <= 'e':
			b[i]++
			return string(b)
		case c == '9' || c == 'f':
			b[i]--
			return string(b)
		}
	}
	return s + "1"
}

func (s suite) signedExpire(t *testing.T) {
	store, signer := s.open(t)
	put(t, store, "k", []byte("x"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	get := sign(t)(signer.SignGet(ctx, "k", time.Second, blob.SignOptions{}))
	put := sign(t)(signer.SignPut(ctx, "new", time.Second))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for send(t, http.MethodGet, get, nil, 0).status != http.StatusForbidden {
		select {
		case <-ctx.Done():
			t.Fatal("a download signed for a second still works")
		case <-tick.C:
		}
	}
	for send(t, http.MethodPut, put, strings.NewReader("x"), 1).status != http.StatusForbidden {
		select {
		case <-ctx.Done():
			t.Fatal("an upload signed for a second still works")
		case <-tick.C:
		}
	}
}

func (s suite) signedOddKeys(t *testing.T) {
	store, signer := s.open(t)
	for _, key := range odd() {
		address := sign(t)(signer.SignPut(t.Context(), key, time.Minute))
		if a := send(t, http.MethodPut, address, strings.NewReader(string(key)), int64(len(key))); a.status != http.StatusOK {
			t.Errorf("PUT %q: %+v", key, a)
			continue
		}
		same(t, string(key), get(t, store, key), []byte(key))
		address = sign(t)(signer.SignGet(t.Context(), key, time.Minute, blob.SignOptions{}))
		if a := send(t, http.MethodGet, address, nil, 0); a.status != http.StatusOK || a.body != string(key) {
			t.Errorf("GET %q: %d %q", key, a.status, a.body)
		}
	}
}

func (s suite) signingBounds(t *testing.T) {
	_, signer := s.open(t)
	for ttl, allowed := range map[time.Duration]bool{
		-time.Hour: false, 0: false, time.Second - 1: false, time.Second: true, time.Hour + time.Millisecond: true,
		blob.MaxTTL: true, blob.MaxTTL + 1: false, blob.MaxTTL + time.Hour: false,
	} {
		_, getErr := signer.SignGet(t.Context(), "k", ttl, blob.SignOptions{})
		_, runnerErr := signer.SignRunnerGet(t.Context(), "k", ttl)
		_, putErr := signer.SignPut(t.Context(), "k", ttl)
		for _, err := range []error{getErr, runnerErr, putErr} {
			if (err == nil) != allowed {
				t.Errorf("%v: got %v, allowed %v", ttl, err, allowed)
			}
		}
	}
}
