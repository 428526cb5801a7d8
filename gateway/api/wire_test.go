package api

import (
	"strings"
	"testing"
)

// Requests that other programs might read differently are refused, and the connection is
// closed.
func TestOddRequestsAreRefused(t *testing.T) {
	u := startTriggers(t, Limits{})
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

// Targets that are no path of anybody's are answered like other ones.
func TestOddTargets(t *testing.T) {
	u := startTriggers(t, Limits{})
	for request, want := range map[string]string{
		"OPTIONS * HTTP/1.1":                      "400",
		"CONNECT example.org:443 HTTP/1.1":        "400",
		"TRACE /echo/a HTTP/1.1":                  "405",
		"GET http://else.example/echo/a HTTP/1.1": "200",
		"GET //echo/a HTTP/1.1":                   "404",
		"GET /echo//a HTTP/1.1":                   "404",
		"GET /echo/a#fragment HTTP/1.1":           "200",
		"GET /./echo/a HTTP/1.1":                  "400",
		"GET /echo/../echo/a HTTP/1.1":            "400",
		"GET /%2D/healthz HTTP/1.1":               "404",
		"GET /-/healthz?x HTTP/1.1":               "200",
		"GET /-/healthz/ HTTP/1.1":                "404",
		"GET /- HTTP/1.1":                         "404",
		"get /echo/a HTTP/1.1":                    "405",
		"GET /echo/a HTTP/1.2":                    "200",
		"GET /echo/a HTTP/9.9":                    "505",
	} {
		got := u.talk(request + "\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") {
			t.Errorf("%s: %.300q, want %s", request, got, want)
		}
	}
}
