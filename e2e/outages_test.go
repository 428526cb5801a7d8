package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// refused fails the test unless the answer is a 503 with a Retry-After.
func refused(t *testing.T, what string, a *rig.Answer) {
	t.Helper()
	if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s: status %d, Retry-After %q, want a 503 with one: %.300s", what, a.Status, a.Header.Get("Retry-After"), a.Body)
	}
}

// ready reports whether the gateway answers that it is ready.
func ready(t *testing.T, g *rig.Gateway) bool {
	t.Helper()
	return admin(t, g, http.MethodGet, "/readyz", "").Status == http.StatusOK
}

// TestRedisKilled: without Redis, calls that need it are answered 503. When Redis is back, registrations and accepted
// invocations are there again.
func TestRedisKilled(t *testing.T) {
	redis := testenv.StartRedis(t)
	g, l := newWorld(t, redisURL(redis)).start("data"), newLedger(t)
	slowTrigger(t, g, l, `{"max_concurrency": 1}`, "3")
	var ids []string
	for range 3 {
		ids = append(ids, async(t, g, "/t").ID)
	}
	testenv.EventuallyWithin(t, wait, "one call runs", func() bool { return l.total() == 1 })
	redis.Kill()
	before := l.total()
	testenv.EventuallyWithin(t, wait, "the gateway is not ready", func() bool { return !ready(t, g) })
	refused(t, "an async call", post(t, g, "/t", http.Header{"Prefer": {"respond-async"}}))
	source, err := rig.PackFiles(tool("true"))
	if err != nil {
		t.Fatal(err)
	}
	body, contentType, err := rig.Form(rig.Part{Name: "spec", ContentType: "application/json", Data: []byte("{}")}, rig.Part{Name: "source", Filename: "s.tgz", Data: source})
	if err != nil {
		t.Fatal(err)
	}
	a, err := g.Admin(t.Context(), http.MethodPut, "/v1/functions/other", contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "a registration", a)
	if n := l.total(); n > before {
		t.Errorf("%d commands were started while Redis was away", n-before)
	}
	redis.Start()
	testenv.EventuallyWithin(t, wait, "the gateway is ready again", func() bool { return ready(t, g) })
	status(t, admin(t, g, http.MethodGet, "/v1/functions/f", ""), http.StatusOK)
	status(t, admin(t, g, http.MethodGet, "/v1/functions/other", ""), http.StatusNotFound)
	for _, id := range ids {
		if r := await(t, g, id); r.State != "succeeded" {
			t.Errorf("accepted before the kill: %+v, reason %q", r, r.reason())
		}
		l.once(t, id)
	}
	status(t, post(t, g, "/t", nil), http.StatusOK)
}

// TestRedisEmptied: an empty Redis gets the registrations back from the store, revisions with their numbers.
func TestRedisEmptied(t *testing.T) {
	redis := testenv.StartRedis(t)
	w := newWorld(t, redisURL(redis))
	g := w.start("data")
	for i := 1; i <= 3; i++ {
		function(t, g, "f", "{}", tool(fmt.Sprintf("echo revision %d", i)))
	}
	status(t, admin(t, g, http.MethodPost, "/v1/functions/f/rollback", `{"revision": 2}`), http.StatusOK)
	trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh"]}`)
	function(t, g, "deleted", "{}", tool("true"))
	status(t, admin(t, g, http.MethodDelete, "/v1/functions/deleted", ""), http.StatusNoContent)
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	if answer := redisDo(t, redis, "FLUSHALL"); answer != "+OK" {
		t.Fatal(answer)
	}
	g = w.start("data")
	a := get(t, g, "/t", nil)
	status(t, a, http.StatusOK)
	if got := unzip(t, a.Body)["stdout"]; got != "revision 2\n" {
		t.Errorf("the live revision printed %q", got)
	}
	status(t, admin(t, g, http.MethodGet, "/v1/functions/deleted", ""), http.StatusNotFound)
	function(t, g, "f", "{}", tool("echo revision 4"))
	a = get(t, g, "/t", nil)
	status(t, a, http.StatusOK)
	id := a.Header.Get("Davit-Invocation")
	if r := await(t, g, id); r.Revision != 4 {
		t.Errorf("the next revision got number %d, want 4", r.Revision)
	}
}

// redisDo sends one command directly to the server.
func redisDo(t *testing.T, r *testenv.RedisServer, command string) string {
	t.Helper()
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestStoreKilledInCall: an invocation that was answered 202 becomes final only when the runner has stored its result.
func TestStoreKilledInCall(t *testing.T) {
	store := testenv.S3(t)
	g, l := newWorld(t, s3(store)...).start("data"), newLedger(t)
	slowTrigger(t, g, l, "{}", "1")
	r := async(t, g, "/t", rig.Part{Name: "x", Data: []byte("1")})
	testenv.EventuallyWithin(t, wait, "the call runs", func() bool { return l.total() == 1 })
	store.Kill()
	testenv.EventuallyWithin(t, wait, "the command has ended", func() bool { return len(processes("bash tool.sh")) == 0 })
	if got := find(t, g, r.ID); got.State != "running" {
		t.Errorf("with its result not stored: %+v", got)
	}
	store.Start()
	if got := await(t, g, r.ID); got.State != "succeeded" || got.Result == nil || !got.Result.Stored {
		t.Errorf("with the store back: %+v, reason %q", got, got.reason())
	}
	result := get(t, g, "/-/invocations/"+r.ID+"/result", nil)
	status(t, result, http.StatusOK)
	if got := unzip(t, result.Body)["out.txt"]; got != "done\n" {
		t.Errorf("out.txt is %q", got)
	}
	l.once(t, r.ID)
}
