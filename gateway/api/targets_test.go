package api

import (
	"strings"
	"testing"
)

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
