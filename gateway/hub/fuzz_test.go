package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// bytesConn is a connection whose other end has said all that it says.
type bytesConn struct {
	net.Conn
	from io.Reader
}

func (b *bytesConn) Read(p []byte) (int, error)       { return b.from.Read(p) }
func (b *bytesConn) Write(p []byte) (int, error)      { return len(p), nil }
func (b *bytesConn) Close() error                     { return nil }
func (b *bytesConn) SetDeadline(time.Time) error      { return nil }
func (b *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (b *bytesConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzHello: whatever dials in is let in only when every word of its hello is good, and of the token's revision.
func FuzzHello(f *testing.F) {
	f.Add("thumbnail@3", "control", []byte(`{"runner":"r1","function":"thumbnail","revision":3,"start":"warm","slots":2}`))
	f.Add("thumbnail@3", "slot", []byte(`{"runner":"r1","function":"other","revision":3,"start":"warm","slots":2}`))
	f.Add("thumbnail@03", "slot", []byte(`{"runner":"r1","function":"thumbnail","revision":3,"start":"job","slots":-1,"free":9}`))
	f.Add("@", "", []byte(`{"held":[{"record":{"id":"x"}}]}`))
	h := New(Options{Gateway: "g", Verify: func(_ faas.RevisionRef, token string) bool { return token == "t" }})
	f.Fuzz(func(t *testing.T, ref, kind string, body []byte) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, task.PathPark, bytes.NewReader(body))
		req.Header.Set("Upgrade", task.Protocol)
		req.Header.Set("Authorization", "Bearer t")
		req.Header[task.HeaderRevision] = []string{ref}
		req.Header[task.HeaderLinkKind] = []string{kind}
		hello, link, err := h.readHello(httptest.NewRecorder(), req)
		if err != nil {
			return
		}
		if hello.Ref().String() != ref || hello.Free < 0 || (hello.Start == faas.StartJob) != (hello.Invocation != "") ||
			hello.Start != faas.StartWarm && hello.Slots > 1 || string(link) != kind || hello.Runner == "" || hello.Slots < 1 || hello.Slots > maxSlots || hello.Free > hello.Slots {
			t.Errorf("let in: %+v as %s of %s", hello, link, ref)
		}
		for _, held := range hello.Owned {
			if held.Record.Ref() != hello.Ref() {
				t.Errorf("let in with an invocation of %s", held.Record.Ref())
			}
		}
	})
}

// FuzzAnswer: whatever a runner answers, a body ends well only when size and sum are what it says.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDavit-Outcome: {}\r\nDavit-Body: zip\r\nTrailer: Davit-Sha256, Davit-Size\r\n\r\n0\r\nDavit-Size: 0\r\nDavit-Sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20)))
	f.Add([]byte("HTTP/1.1 200 OK\r\nDavit-Body: file\r\nDavit-Filename: ..%2Fx\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, said []byte) {
		c := newConn(&bytesConn{from: bytes.NewReader(said)}, &runner{hello: task.Hello{Runner: "r"}})
		resp, err := c.final()
		if err != nil {
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return
		}
		finished := 0
		a, err := newAnswer(resp, "r", func(bool) { finished++ })
		if err != nil {
			return
		}
		sum := sha256.New()
		size, err := io.Copy(sum, a.Body)
		_ = a.Body.Close()
		if finished != 1 {
			t.Errorf("finished %d times", finished)
		}
		if err == nil && a.Kind != "" && (resp.Trailer.Get(task.HeaderSHA256) != hex.EncodeToString(sum.Sum(nil)) ||
			resp.Trailer.Get(task.HeaderSize) != strconv.FormatInt(size, 10)) {
			t.Errorf("%d bytes ended well with the trailers %v", size, resp.Trailer)
		}
	})
}
