package edge

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"davit/internal/faas"
)

func TestRequestsFollowEachOtherOnOneConnection(t *testing.T) {
	u := serve(t, Limits{})
	// All at once: each body ends where the next request begins.
	conn := u.raw("\r\nPOST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst" +
		"POST /echo/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nsec\r\n3\r\nond\r\n0\r\nTrailer: x\r\n\r\n" +
		"GET /echo/c?x=1 HTTP/1.1\r\nHost: x\r\n\r\n" +
		"POST /echo/d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	r := bufio.NewReader(conn)
	for _, want := range []string{"POST /echo/a? 5", "POST /echo/b? 6", "GET /echo/c?x=1 0", "POST /echo/d? 0"} {
		if got := readAnswer(t, r, "GET"); string(got.body) != want || got.StatusCode != 200 {
			t.Fatalf("got %d %q, want %q", got.StatusCode, got.body, want)
		}
	}
	// And in pieces that end anywhere.
	for _, piece := range strings.SplitAfter("POST /echo/e HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nsev,en!", "") {
		if _, err := io.WriteString(conn, piece); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAnswer(t, r, "POST"); string(got.body) != "POST /echo/e? 7" {
		t.Fatalf("got %q", got.body)
	}
}

// A body that a handler has left alone is read over where it is there already; else the connection ends.
func TestUnreadBodies(t *testing.T) {
	u := serve(t, Limits{})
	conn := u.raw("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(conn)
	if got := readAnswer(t, r, "POST"); got.StatusCode != 404 || got.Close {
		t.Fatalf("got %d, close %v", got.StatusCode, got.Close)
	}
	if got := readAnswer(t, r, "GET"); got.StatusCode != 200 {
		t.Fatalf("got %d", got.StatusCode)
	}
	conn = u.raw("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n12345")
	if got := readAnswer(t, bufio.NewReader(conn), "POST"); got.StatusCode != 404 || !got.Close {
		t.Fatalf("got %d, close %v", got.StatusCode, got.Close)
	}
}

func TestExpectContinue(t *testing.T) {
	u := serve(t, Limits{})
	conn := u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(conn, "body")
	if got := readAnswer(t, r, "POST"); string(got.body) != "POST /echo/a? 4" || got.Close {
		t.Fatalf("got %q, close %v", got.body, got.Close)
	}
	// A refusal comes without the 100, and before any byte of the body.
	for name, head := range map[string]string{
		"too large": "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n",
		"not there": "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
		"no token":  "POST /private HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := readAnswer(t, bufio.NewReader(u.raw(head)), "POST")
			if got.StatusCode < 400 || !got.Close {
				t.Fatalf("got %d, close %v", got.StatusCode, got.Close)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	u := serve(t, Limits{})
	t.Run("by its length, before a byte of it", func(t *testing.T) {
		got := readAnswer(t, bufio.NewReader(u.raw("POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")), "POST")
		got.wantProblem(t, 413, faas.TooLarge, "1Mi")
		if !got.Close {
			t.Fatal("the connection is kept")
		}
	})
	t.Run("the caller who sends it all sees it", func(t *testing.T) {
		for range 20 {
			u.send("POST", "/echo/a", io.LimitReader(zeros{}, 8<<20), 8<<20).wantProblem(t, 413, faas.TooLarge)
		}
	})
	t.Run("in chunks, by count", func(t *testing.T) {
		u.send("POST", "/echo/a", io.LimitReader(zeros{}, 8<<20), -1).wantProblem(t, 413, faas.TooLarge)
		got := u.send("POST", "/echo/a", io.LimitReader(zeros{}, 1<<20), -1)
		if string(got.body) != "POST /echo/a? 1048576" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
	})
}

func TestHeaderTooLarge(t *testing.T) {
	u := serve(t, Limits{})
	got := u.send("GET", "/echo/a", nil, 0, "X-Large", strings.Repeat("x", 30<<10))
	if got.StatusCode != 200 {
		t.Fatalf("30 KiB of header: %d", got.StatusCode)
	}
	u.send("GET", "/echo/a", nil, 0, "X-Large", strings.Repeat("x", 40<<10)).wantProblem(t, 431, faas.TooLarge)
	if got := u.talk("GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Fatalf("got %.100q", got)
	}
}

// Requests that other programs might read differently are refused, and the connection is closed.
func TestOddRequestsAreRefused(t *testing.T) {
	u := serve(t, Limits{})
	const host = "Host: x\r\n"
	smuggled := "GET /echo/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct{ name, request, status string }{
		{"two lengths", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400"},
		{"two different lengths", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 5\r\n\r\nxxxxx", "400"},
		{"length list", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: 1, 1\r\n\r\nx", "400"},
		{"length and chunks", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"chunks and length", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400"},
		{"xchunked", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"},
		{"identity", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", "400"},
		{"chunked twice", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"gzip, chunked", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"},
		{"space before colon", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"},
		{"space in name", "POST /echo/a HTTP/1.1\r\n" + host + "Content Length: 1\r\n\r\nx", "400"},
		{"bare LF after the request line", "GET /echo/a HTTP/1.1\n" + host + "\r\n", "400"},
		{"bare LF in a header", "GET /echo/a HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", "400"},
		{"bare LF at the end", "GET /echo/a HTTP/1.1\r\nHost: x\r\n\n", "400"},
		{"bare CR in a value", "GET /echo/a HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", "400"},
		{"folded header", "GET /echo/a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "400"},
		{"two hosts", "GET /echo/a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400"},
		{"no host", "GET /echo/a HTTP/1.1\r\n\r\n", "400"},
		{"NUL in a value", "GET /echo/a HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", "400"},
		{"NUL in a name", "GET /echo/a HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n", "400"},
		{"NUL in the path", "GET /echo/a\x00b HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"signed length", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\nx", "400"},
		{"negative length", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\nx", "400"},
		{"hex length", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: 0x1\r\n\r\nx", "400"},
		{"huge length", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\nx", "400"},
		{"empty length", "POST /echo/a HTTP/1.1\r\n" + host + "Content-Length: \r\n\r\nx", "400"},
		{"chunks in HTTP/1.0", "POST /echo/a HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"no version", "GET /echo/a\r\n" + host + "\r\n", "400"},
		{"another protocol", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		{"a path that looks like a host", "GET //echo/echo/a?u=http://x HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"a path that looks like a host, HTTP/1.0", "GET //echo/echo/a HTTP/1.0\r\n\r\n", "400"},
		{"signed chunk", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n", "400"},
		{"0x chunk", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", "400"},
		{"bare LF in chunks", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", "400"},
		{"bare LF after a chunk", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n", "400"},
		{"chunk longer than said", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", "400"},
		{"chunk without a size", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n", "400"},
		{"chunk of absurd size", "POST /echo/a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1000000000000000\r\nx\r\n0\r\n\r\n", "400"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := u.talk(test.request + smuggled)
			if !strings.HasPrefix(got, "HTTP/1.1 "+test.status+" ") {
				t.Fatalf("answer %.200q, want status %s", got, test.status)
			}
			if strings.Count(got, "HTTP/1.1 ") != 1 || strings.Contains(got, "smuggled") {
				t.Fatalf("what follows was read as a request: %.600q", got)
			}
			if !strings.Contains(got, "Connection: close\r\n") || !strings.Contains(got, "application/problem+json") {
				t.Fatalf("answer %.400q is no problem that closes", got)
			}
		})
	}
}
