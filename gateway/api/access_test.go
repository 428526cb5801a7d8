package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
)

func TestAccess(t *testing.T) {
	u := startConsole(t, Limits{})
	for _, path := range []string{"/v1/functions", "/v1/limits", "/v1/events", "/v1/invocations/" + string(testID), "/", "/app.js", "/nothing", "/v1/nothing"} {
		got := u.do("GET", path, nil)
		got.wantProblem(t, 401, faas.Unauthorized)
		if !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", path, got.Header.Get("WWW-Authenticate"))
		}
	}
	for _, token := range []string{"", "nope", testToken + "x", testToken[:5], strings.Repeat("x", 25<<10)} {
		u.do("GET", "/v1/functions", nil, "Authorization", "Bearer "+token).wantProblem(t, 401, faas.Unauthorized)
		u.do("GET", "/v1/functions", nil, "Cookie", cookieName+"="+token).wantProblem(t, 401, faas.Unauthorized)
	}
	u.do("GET", "/v1/functions", nil, "Authorization", "Basic "+testToken).wantProblem(t, 401, faas.Unauthorized)
	if got := u.as("GET", "/v1/functions", nil); got.StatusCode != 200 {
		t.Fatalf("with the token: %d", got.StatusCode)
	}
	u.as("GET", "/v1/nothing", nil).wantProblem(t, 404, faas.NotFound)
	u.as("GET", "/V1/functions", nil).wantProblem(t, 404, faas.NotFound)
	u.as("GET", "/v1/functions/", nil).wantProblem(t, 404, faas.NotFound)
	got := u.as("POST", "/v1/functions", nil)
	if got.wantProblem(t, 405, faas.MethodNotAllowed); got.Header.Get("Allow") != "GET, HEAD" {
		t.Fatalf("Allow %q", got.Header.Get("Allow"))
	}
	if got := u.as("BREW", "/v1/functions/x", nil); got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD, PUT, DELETE" {
		t.Fatalf("BREW: %d %q", got.StatusCode, got.Header.Get("Allow"))
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.yaml", "/sign-in", "/style.css"} {
		if got := u.do("GET", path, nil); got.StatusCode != 200 || len(got.body) == 0 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	if strings.Contains(u.log.String(), testToken) {
		t.Fatal("the token is in the log")
	}
}

func TestForeignPagesAreKeptOut(t *testing.T) {
	u := startConsole(t, Limits{})
	port := u.addr[strings.LastIndexByte(u.addr, ':'):]
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"no browser", nil, 200},
		{"the console's own page", []string{"Origin", "http://" + u.addr, "Sec-Fetch-Site", "same-origin"}, 200},
		{"typed by a person", []string{"Sec-Fetch-Site", "none"}, 200},
		{"another site", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another port of this host", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"another origin", []string{"Origin", "http://evil.example"}, 403},
		{"another port's origin", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"no origin that it would name", []string{"Origin", "null"}, 403},
		{"a rebound name", []string{"Host", "evil.example" + port}, 403},
		{"a rebound name, same-origin", []string{"Host", "evil.example" + port, "Origin", "http://evil.example" + port, "Sec-Fetch-Site", "same-origin"}, 403},
		{"a name that is set", []string{"Host", "davit.example", "Origin", "https://davit.example", "Sec-Fetch-Site", "same-origin"}, 200},
		{"localhost", []string{"Host", "localhost" + port}, 200},
		{"below localhost", []string{"Host", "davit.localhost" + port}, 200},
		{"not below localhost", []string{"Host", "evillocalhost" + port}, 403},
		{"an address", []string{"Host", "[::1]" + port}, 200},
		{"a name that looks like one", []string{"Host", "127.0.0.1.evil.example"}, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := u.as("GET", "/v1/functions", nil, test.header...); got.StatusCode != test.status {
				t.Fatalf("got %d %s, want %d", got.StatusCode, got.body, test.status)
			}
			for _, path := range []string{"/v1/session", "/nothing", "/sign-in?code=x"} {
				method := "GET"
				if path == "/v1/session" {
					method = "POST"
				}
				if got := u.do(method, path, nil, test.header...); (got.StatusCode == 403) != (test.status == 403) {
					t.Errorf("%s: %d", path, got.StatusCode)
				}
			}
			if got := u.do("GET", "/healthz", nil, test.header...); got.StatusCode != 200 {
				t.Errorf("/healthz: %d", got.StatusCode)
			}
		})
	}
	got := u.talk("GET http://evil.example/v1/functions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + testToken + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Fatalf("an absolute target: %.100q", got)
	}
}

func TestPage(t *testing.T) {
	u := startConsole(t, Limits{})
	got := u.do("GET", "/", nil, "Accept", "text/html,application/xhtml+xml")
	if got.StatusCode != 401 || !strings.Contains(string(got.body), `<form method="post" action="/v1/session">`) || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("not signed in: %d %s", got.StatusCode, got.body)
	}
	checkPolicy(t, got)
	got = u.as("GET", "/", nil)
	if got.StatusCode != 200 || got.Header.Get("Content-Security-Policy") != pagePolicy || got.Header.Get("Cache-Control") != "no-cache" || got.Header.Get("X-Frame-Options") != "DENY" {
		t.Fatalf("page: %d %v", got.StatusCode, got.Header)
	}
	etag := got.Header.Get("ETag")
	if got := u.as("GET", "/", nil, "If-None-Match", etag); got.StatusCode != 304 || len(got.body) > 0 {
		t.Fatalf("again: %d", got.StatusCode)
	}
	packed := u.as("GET", "/", nil, "Accept-Encoding", "gzip")
	if packed.Header.Get("Content-Encoding") != "gzip" || len(packed.body) >= len(got.body) || packed.Header.Get("ETag") == etag {
		t.Fatalf("packed: %v", packed.Header)
	}
	got = u.as("GET", "/app.js", nil)
	if got.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || string(got.body) != "// code" {
		t.Fatalf("script: %v", got.Header)
	}
	got = u.as("GET", "/app.js?v="+strings.Trim(got.Header.Get("ETag"), `"`), nil)
	if !strings.Contains(got.Header.Get("Cache-Control"), "immutable") {
		t.Fatalf("by checksum: %v", got.Header)
	}
	for _, path := range []string{"/notes.xyz", "/../go.mod", "/%2e%2e/go.mod", "/index.html/x", "//app.js"} {
		if got := u.as("GET", path, nil); got.StatusCode != 404 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	u.as("POST", "/app.js", nil).wantProblem(t, 405, faas.MethodNotAllowed)
	got = u.as("GET", "/nothing", nil, "Accept", "text/html")
	if got.StatusCode != 404 || !strings.Contains(string(got.body), "nothing is served at /nothing") {
		t.Fatalf("no page: %d %s", got.StatusCode, got.body)
	}
	checkPolicy(t, got)
}

// checkPolicy checks that a plain page's style is the one that its policy allows.
func checkPolicy(t *testing.T, a *answer) {
	t.Helper()
	if a.Header.Get("Content-Security-Policy") != plainPolicy() || !strings.Contains(string(a.body), "<style>"+plainStyle+"</style>") {
		t.Fatalf("policy %q for %s", a.Header.Get("Content-Security-Policy"), a.body)
	}
	if strings.Contains(string(a.body), "<script") {
		t.Fatal("a script on a page that is to work without")
	}
}

func TestReadiness(t *testing.T) {
	u := startConsole(t, Limits{})
	if got := u.do("GET", "/readyz", nil); got.StatusCode != 200 || !strings.Contains(string(got.body), `"store":"ok"`) {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	u.store.err = errAway
	got := u.do("GET", "/readyz", nil)
	if got.StatusCode != 503 || !strings.Contains(string(got.body), `"store":"away"`) || !strings.Contains(string(got.body), `"redis":"ok"`) || strings.Contains(string(got.body), "10.0.0.7") {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	if !strings.Contains(u.log.String(), errAway.Error()) {
		t.Fatal("the cause is not in the log")
	}
	if got := u.do("GET", "/healthz", nil); got.StatusCode != 200 {
		t.Fatalf("health: %d", got.StatusCode)
	}
}

func TestEvents(t *testing.T) {
	u := startConsole(t, Limits{Heartbeat: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := u.client().Do(u.request("GET", "/v1/events", nil, "Authorization", "Bearer "+testToken).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	readUntil(t, res, `event: resync`)
	u.registry.events <- Change{Kind: "invocation", ID: string(testID), State: "running", Function: "f", Trigger: "t"}
	readUntil(t, res, `"state":"running"`)
	readUntil(t, res, ": alive")
	close(u.registry.events)
	got := u.as("GET", "/v1/events", nil)
	if string(got.body) != "event: resync\ndata: {\"kind\":\"resync\"}\n\n" {
		t.Fatalf("got %q", got.body)
	}
}

func TestConsoleInvocations(t *testing.T) {
	u := startConsole(t, Limits{})
	u.invocations.results[testID] = zipOf(t, map[string]string{"a.txt": "text"})
	delete(u.invocations.records, privateID)
	base := "/v1/invocations/" + string(testID)
	var page struct {
		Items []struct {
			ID    faas.InvocationID
			Links links
		}
		Next string
	}
	u.as("GET", "/v1/invocations?function=f&trigger=t&state=failed&since=2026-01-02T03:04:05.5Z&limit=7&cursor=c", nil).decode(t, &page)
	want := faas.InvocationFilter{Function: "f", Trigger: "t", State: faas.Failed, Since: testTime().Add(500 * time.Millisecond), Limit: 7, Cursor: "c"}
	if u.invocations.filter != want || len(page.Items) != 1 || page.Items[0].Links.Self != base || page.Next != "more" {
		t.Fatalf("filter %+v, page %+v", u.invocations.filter, page)
	}
	for _, bad := range []string{"state=odd", "since=yesterday", "limit=1001", "function=A", "trigger=a.b"} {
		u.as("GET", "/v1/invocations?"+bad, nil).wantProblem(t, 400, faas.Invalid, strings.Split(bad, "=")[0])
	}
	for path, status := range map[string]int{
		"": 200, "/result": 200, "/result?redirect": 303, "/result/a.txt": 200, "/log": 200, "/input": 200, "/nothing": 404,
	} {
		if got := u.as("GET", base+path, nil); got.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, status)
		}
	}
	if got := u.as("GET", base+"/result", nil, "Range", "bytes=0-1"); got.StatusCode != 206 {
		t.Errorf("range: %d", got.StatusCode)
	}
	for _, path := range []string{"/result", "/result/a.txt"} {
		if got := u.as("GET", base+path, nil, "If-None-Match", "*"); got.StatusCode != 304 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	if got := u.as("GET", base+"/input", nil); string(got.body) != "input" || got.Header.Get("Content-Type") != "text/plain" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("input: %q %v", got.body, got.Header)
	}
	if got := u.as("POST", base+"/cancel", nil); got.StatusCode != 202 {
		t.Errorf("cancel: %d", got.StatusCode)
	}
	u.as("POST", base+"/replay", nil).wantProblem(t, 422, faas.NotAllowed, "not available yet")
	u.as("POST", "/v1/invocations/"+string(privateID)+"/replay", nil).wantProblem(t, 404, faas.NotFound)
	u.as("GET", "/v1/invocations/"+string(privateID)+"/log", nil).wantProblem(t, 404, faas.NotFound)
	var info map[string]any
	u.as("GET", "/v1/limits", nil).decode(t, &info)
	if info["sandbox"] != "none" || info["calls_url"] != "http://127.0.0.1:8081" {
		t.Fatalf("info %v", info)
	}
	limits, _ := info["limits"].(map[string]any)
	if limits["drain"] != "1m30s" || limits["max_archive"] != float64(100<<20) || limits["max_runners"] != float64(1) {
		t.Fatalf("limits %v", limits)
	}
	if u.counted.of("console /v1/invocations/{id}/result/{path} GET 200") != 1 || u.counted.of("console /v1/limits GET 200") != 1 {
		t.Fatalf("counted %v", u.counted.seen)
	}
}
