package api

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// captured runs one call and returns what was handed on.
func captured(t *testing.T, u *triggersUnderTest, method, path, body string, header ...string) (*faas.Call, *answer) {
	t.Helper()
	var call *faas.Call
	u.caller.answer = func(_ context.Context, c *faas.Call) (*faas.Reply, error) {
		call = c
		if c.Body != nil {
			if _, err := io.Copy(io.Discard, c.Body); err != nil {
				return nil, err
			}
		}
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(strings.NewReader("PK"))}, nil
	}
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	got := u.do(method, path, r, header...)
	return call, got
}

func TestWhatIsHandedOn(t *testing.T) {
	u := startTriggers(t, Limits{})
	call, got := captured(t, u, "POST", "/echo/a%2Fb%20c?x=1&davit-format=zip&y=%26&x=2", "hello",
		"Content-Type", "text/x; a=b", "Authorization", "Bearer abc", "Cookie", "a=b", "X-Api-Key", "k", "X-Auth-Token", "t", "Proxy-Authorization", "p",
		"X-One", "1", "X-Two", "2", "X-Two", "zwei", "X-Request-Id", "call-7", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"User-Agent", "tests", "Prefer", "wait=20", "Davit-Mode", "job")
	if got.StatusCode != 200 {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	wait := 20 * time.Second
	want := &faas.Call{
		Match: faas.Match{Trigger: call.Match.Trigger, Fields: [][2]string{{"name", "a/b c"}}}, Method: "POST", Path: "/echo/a%2Fb%20c", Query: "x=1&y=%26&x=2",
		Headers: [][2]string{
			{"Accept-Encoding", "gzip"},
			{"Content-Type", "text/x; a=b"},
			{"Davit-Mode", "job"},
			{"Host", u.addr},
			{"Prefer", "wait=20"},
			{"User-Agent", "tests"},
			{"X-One", "1"},
			{"X-Request-Id", "call-7"},
			{"X-Two", "2"},
			{"X-Two", "zwei"},
		},
		ContentType: "text/x; a=b", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", RequestID: "call-7",
		Body: call.Body, Size: 5, Wait: &wait, Mode: faas.ModeJob, Zip: true, Gone: call.Gone,
	}
	call.Headers = slices.DeleteFunc(call.Headers, func(h [2]string) bool { return h[0] == "Accept-Encoding" })
	want.Headers = want.Headers[1:]
	slices.SortFunc(call.Headers, func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	if !reflect.DeepEqual(call, want) {
		t.Fatalf("handed on\n%+v\nwant\n%+v", call, want)
	}
	if call.Match.Trigger.Name != "echo" || call.Gone == nil {
		t.Fatalf("trigger %q, gone %v", call.Match.Trigger.Name, call.Gone)
	}
}

func TestPut(t *testing.T) {
	u := startTriggers(t, Limits{})
	if call, got := captured(t, u, "PUT", "/huge", "x"); got.StatusCode != 200 || call.Method != "PUT" || call.Size != 1 {
		t.Fatalf("got %d, %+v", got.StatusCode, call)
	}
}

func TestPrefer(t *testing.T) {
	seconds := func(n time.Duration) *time.Duration {
		n *= time.Second
		return &n
	}
	tests := []struct {
		lines []string
		async bool
		wait  *time.Duration
	}{
		{nil, false, nil},
		{[]string{"respond-async"}, true, nil},
		{[]string{"Respond-Async"}, true, nil},
		{[]string{"wait=20"}, false, seconds(20)},
		{[]string{"wait = 20"}, false, seconds(20)},
		{[]string{`wait="20"`}, false, seconds(20)},
		{[]string{"wait=0"}, false, seconds(0)},
		{[]string{"respond-async, wait=10"}, true, seconds(10)},
		{[]string{"wait=10; foo=bar, respond-async; x"}, true, seconds(10)},
		{[]string{"handling=lenient", "wait=10", "wait=20"}, false, seconds(10)},
		{[]string{`foo="a, respond-async", wait=3`}, false, seconds(3)},
		{[]string{`foo="a\", respond-async"`}, false, nil},
		{[]string{"wait=-1"}, false, nil},
		{[]string{"wait=1.5"}, false, nil},
		{[]string{"wait=٣"}, false, nil},
		{[]string{"wait"}, false, nil},
		{[]string{"wait=99999999999999999"}, false, seconds(mostPreferredWait)},
		{[]string{",,;=,"}, false, nil},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.lines, "|"), func(t *testing.T) {
			async, wait := readPrefer(test.lines)
			if async != test.async || !reflect.DeepEqual(wait, test.wait) {
				t.Fatalf("got %v, %v", async, wait)
			}
		})
	}
}

func TestTraceparent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tests := map[string]string{
		good:                                  good,
		good + "-extra":                       "",
		"cc" + good[2:] + "-what-comes-later": "cc" + good[2:] + "-what-comes-later",
		"ff" + good[2:]:                       "",
		strings.ToUpper(good):                 "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01":  "",
		"": "", "x": "",
	}
	for in, want := range tests {
		if got := traceparent(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestResultHeaders(t *testing.T) {
	u := startTriggers(t, Limits{})
	_, got := captured(t, u, "GET", "/echo/a", "")
	want := map[string]string{
		"Content-Type": "application/zip", "Content-Disposition": `attachment; filename="echo.zip"; filename*=UTF-8''echo.zip`,
		"X-Content-Type-Options": "nosniff", "Davit-Invocation": string(testID), "Davit-Exit-Code": "0", "Davit-Reason": "",
		"Davit-Start": "job", "Server-Timing": "queue;dur=1.5, start;dur=0, run;dur=40", "Content-Length": "2", "Cache-Control": "no-store",
	}
	for name, value := range want {
		if got.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
		}
	}
	if _, err := time.Parse(time.RFC1123, got.Header.Get("Date")); err != nil {
		t.Errorf("Date: %v", err)
	}
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return &faas.Reply{Invocation: succeeded(), Kind: "file", Filename: "Bild \"ä\"\n.png", Body: newFakeBody(io.LimitReader(zeros{}, 1<<20))}, nil
	}
	got = u.do("GET", "/echo/a", nil)
	if d := got.Header.Get("Content-Disposition"); d != `attachment; filename="Bild ____.png"; filename*=UTF-8''Bild%20%22%C3%A4%22%0A.png` {
		t.Errorf("Content-Disposition %s", d)
	}
	if len(got.body) != 1<<20 || got.Header.Get("Content-Type") != "image/png" {
		t.Errorf("%d bytes of %s", len(got.body), got.Header.Get("Content-Type"))
	}
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		return &faas.Reply{Invocation: succeeded(), Kind: "file", Filename: "stdout", Body: newFakeBody(strings.NewReader(""))}, nil
	}
	if got = u.do("GET", "/echo/a", nil); got.Header.Get("Content-Type") != "application/octet-stream" || got.ContentLength != 0 {
		t.Errorf("stdout: %s, %d bytes", got.Header.Get("Content-Type"), got.ContentLength)
	}
}

func TestAccepted(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
		inv := succeeded()
		inv.State, inv.EndedAt, inv.ExitCode = faas.Queued, nil, nil
		inv.Inner = &faas.Inner{Accepted: true, Runner: "secret-runner"}
		return &faas.Reply{Invocation: inv, Accepted: true}, nil
	}
	got := u.do("POST", "/echo/a", nil, "Prefer", "respond-async")
	if got.StatusCode != 202 || got.Header.Get("Location") != "/-/invocations/"+string(testID) || got.Header.Get("Preference-Applied") != "respond-async" {
		t.Fatalf("got %d %v", got.StatusCode, got.Header)
	}
	var record map[string]any
	got.decode(t, &record)
	if record["id"] != string(testID) || record["state"] != "queued" || record["inner"] != nil || strings.Contains(string(got.body), "secret-runner") {
		t.Fatalf("record %s", got.body)
	}
	links, _ := json.Marshal(record["links"])
	if want := strings.ReplaceAll(`{"log":"/-/invocations/ID/log","result":"/-/invocations/ID/result","self":"/-/invocations/ID"}`, "ID", string(testID)); string(links) != want {
		t.Fatalf("links %s", links)
	}
	for method, path := range map[string]string{"GET": "/echo/a", "PUT": "/huge"} {
		if got := u.do(method, path, nil, "Prefer", "respond-async"); got.StatusCode != 202 {
			t.Fatalf("%s: %d", method, got.StatusCode)
		}
	}
	if got := u.do("POST", "/echo/a", nil, "Prefer", "wait=3"); got.Header.Get("Preference-Applied") != "wait=3" {
		t.Fatalf("Preference-Applied %q", got.Header.Get("Preference-Applied"))
	}
}

func TestFailedInvocation(t *testing.T) {
	u := startTriggers(t, Limits{})
	tests := []struct {
		reason faas.Reason
		status int
	}{
		{faas.ReasonExitCode, 502},
		{faas.ReasonTimedOut, 504},
		{faas.ReasonInputInvalid, 400},
		{faas.ReasonRunnerLost, 503},
		{faas.ReasonCancelled, 409},
	}
	for _, test := range tests {
		t.Run(string(test.reason), func(t *testing.T) {
			u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
				inv := succeeded()
				three := 3
				inv.End(test.reason, "", testTime())
				inv.ExitCode = &three
				return nil, &faas.Error{Kind: test.reason.Kind(), Detail: test.reason.Advice(), Invocation: inv, LogTail: "the end of the log"}
			}
			got := u.do("POST", "/echo/a", nil)
			p := got.wantProblem(t, test.status, test.reason.Kind())
			if *p.InvocationID != testID || *p.Reason != test.reason || *p.ExitCode != 3 || *p.LogTail != "the end of the log" {
				t.Fatalf("problem %+v", p)
			}
			if got.Header.Get("Davit-Reason") != string(test.reason) || got.Header.Get("Davit-Invocation") != string(testID) || got.Header.Get("Davit-Exit-Code") != "3" {
				t.Fatalf("headers %v", got.Header)
			}
			if (got.Header.Get("Retry-After") != "") != (test.status == 503) {
				t.Fatalf("Retry-After %q", got.Header.Get("Retry-After"))
			}
		})
	}
}

func TestRefusedCalls(t *testing.T) {
	u := startTriggers(t, Limits{})
	tests := []struct {
		name, method, path string
		header             []string
		status             int
		kind               faas.Kind
		words              string
	}{
		{"no trigger", "GET", "/nothing", nil, 404, faas.NotFound, "no trigger"},
		{"below a trigger", "GET", "/echo/a/b", nil, 404, faas.NotFound, ""},
		{"another method", "PUT", "/echo/a", nil, 405, faas.MethodNotAllowed, "GET, HEAD, OPTIONS, POST"},
		{"a method of nobody's", "BREW", "/echo/a", nil, 405, faas.MethodNotAllowed, "GET, HEAD, OPTIONS, POST"},
		{"a method of nobody's, nowhere", "BREW", "/nothing", nil, 404, faas.NotFound, ""},
		{"NUL in the path", "GET", "/echo/a%00b", nil, 400, faas.Invalid, ""},
		{"compressed", "POST", "/echo/a", []string{"Content-Encoding", "gzip"}, 400, faas.Invalid, "uncompressed"},
		{"unknown mode", "GET", "/echo/a", []string{"Davit-Mode", "fast"}, 400, faas.Invalid, "Davit-Mode"},
		{"another format", "GET", "/echo/a?davit-format=tar", nil, 400, faas.Invalid, "davit-format"},
		{"idempotency", "POST", "/echo/a", []string{"Idempotency-Key", "x"}, 422, faas.NotAllowed, "Idempotency-Key is not available yet"},
		{"callback", "POST", "/echo/a", []string{"Davit-Callback", "http://x"}, 422, faas.NotAllowed, "Davit-Callback is not available yet"},
		{"no token", "POST", "/private", nil, 401, faas.Unauthorized, "token"},
		{"another token", "POST", "/private", []string{"Authorization", "Bearer nope"}, 401, faas.Unauthorized, "token"},
		{"a giant token", "POST", "/private", []string{"Authorization", "Bearer " + strings.Repeat("x", 20<<10)}, 401, faas.Unauthorized, "token"},
		{"an empty token", "POST", "/private", []string{"Authorization", "Bearer "}, 401, faas.Unauthorized, "token"},
		{"another scheme", "POST", "/private", []string{"Authorization", "Basic " + testToken}, 401, faas.Unauthorized, "token"},
		{"nothing of the console", "GET", "/v1/functions", []string{"Authorization", "Bearer " + testToken}, 404, faas.NotFound, ""},
		{"no metrics", "GET", "/metrics", nil, 404, faas.NotFound, ""},
		{"nothing there", "GET", "/-/metrics", nil, 404, faas.NotFound, "/-/metrics"},
		{"no list", "GET", "/-/invocations", nil, 404, faas.NotFound, ""},
		{"no input", "GET", "/-/invocations/" + string(testID) + "/input", nil, 404, faas.NotFound, ""},
		{"cancel is a POST", "GET", "/-/invocations/" + string(testID) + "/cancel", nil, 405, faas.MethodNotAllowed, "POST"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			called := false
			u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
				called = true
				return nil, faas.Errorf(faas.Internal, "called")
			}
			got := u.do(test.method, test.path, nil, test.header...)
			got.wantProblem(t, test.status, test.kind, test.words)
			if called {
				t.Fatal("the call was made")
			}
			if allow := got.Header.Get("Allow"); (test.status == 405) != (allow != "") {
				t.Fatalf("Allow %q", allow)
			}
			if test.status == 401 && got.Header.Get("WWW-Authenticate") == "" {
				t.Fatal("no WWW-Authenticate")
			}
		})
	}
	if got := u.talk("GET /echo/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Fatalf("a broken escape: %q", got)
	}
	if _, got := captured(t, u, "POST", "/private", "", "Authorization", "bearer "+testToken); got.StatusCode != 200 {
		t.Fatalf("with the token: %d %s", got.StatusCode, got.body)
	}
}

func TestHeadAndOptions(t *testing.T) {
	u := startTriggers(t, Limits{})
	call, got := captured(t, u, "HEAD", "/echo/a", "")
	if got.StatusCode != 200 || len(got.body) != 0 || got.Header.Get("Content-Length") != "2" || call.Method != "HEAD" {
		t.Fatalf("HEAD: %d %q %s %s", got.StatusCode, got.body, got.Header.Get("Content-Length"), call.Method)
	}
	if got := u.do("OPTIONS", "/echo/a", nil); got.StatusCode != 204 || got.Header.Get("Allow") != "GET, HEAD, OPTIONS, POST" {
		t.Fatalf("OPTIONS: %d %q", got.StatusCode, got.Header.Get("Allow"))
	}
	if got := u.do("OPTIONS", "/nothing", nil); got.StatusCode != 404 {
		t.Fatalf("OPTIONS: %d", got.StatusCode)
	}
}

func TestReplyLivesUntilItsBodyIsClosed(t *testing.T) {
	u := startTriggers(t, Limits{})
	var held context.Context
	body := newFakeBody(io.LimitReader(zeros{}, 5<<20))
	u.caller.answer = func(ctx context.Context, _ *faas.Call) (*faas.Reply, error) {
		held = ctx //nolint:fatcontext // to look at later
		body.Reader = io.MultiReader(io.LimitReader(zeros{}, 5<<20), readerFunc(func([]byte) (int, error) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}))
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: body}, nil
	}
	if got := u.do("GET", "/echo/a", nil); len(got.body) != 5<<20 {
		t.Fatalf("got %d bytes", len(got.body))
	}
	<-body.closed
	testenv.Eventually(t, "the call's context ends", func() bool { return held.Err() != nil })
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestCorrelation(t *testing.T) {
	u := startTriggers(t, Limits{})
	for header, want := range map[string]string{
		"a-b 1":                  "a-b 1",
		strings.Repeat("x", 128): strings.Repeat("x", 128),
		strings.Repeat("x", 129): "",
		"tab\tbed":               "",
		"ümlaut":                 "",
	} {
		call, got := captured(t, u, "GET", "/echo/a", "", "X-Request-Id", header)
		if call.RequestID != want {
			t.Errorf("%q: handed on %q", header, call.RequestID)
		}
		if echoed := got.Header.Get("X-Request-Id"); want != "" && echoed != want || want == "" && len(echoed) != 24 {
			t.Errorf("%q: answered with %q", header, echoed)
		}
	}
	if call, _ := captured(t, u, "GET", "/echo/a", "", "X-Call-Id", "seven"); call.RequestID != "seven" {
		t.Errorf("X-Call-Id: %q", call.RequestID)
	}
	p := u.do("GET", "/nothing", nil, "X-Request-Id", "mine").problem(t)
	if p.RequestID == "mine" || p.RequestID == "" || p.Instance != "/nothing" || !strings.HasSuffix(p.Type, "not_found") {
		t.Fatalf("problem %+v", p)
	}
}

func TestRequestsAreCountedByTemplate(t *testing.T) {
	u := startTriggers(t, Limits{})
	u.do("GET", "/echo/secret-name", nil)
	u.do("GET", "/nothing-"+url.PathEscape("much"), nil)
	u.do("BREW", "/echo/a", nil)
	u.do("GET", "/-/invocations/"+string(testID), nil)
	u.talk("nonsense\r\n\r\n")
	for _, key := range []string{
		"calls trigger GET 200", "calls none GET 404", "calls none other 405", "calls /-/invocations/{id} GET 200", "calls none other 400",
	} {
		if u.counted.of(key) != 1 {
			t.Errorf("%q was counted %d times; all: %v", key, u.counted.of(key), u.counted.seen)
		}
	}
}
