package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// sleeper registers a function that runs one call at a time, for as many seconds as the call's field s says.
func sleeper(t *testing.T, g *rig.Gateway, queue string) {
	t.Helper()
	function(t, g, "f", `{"max_concurrency": 1, "max_queue": `+queue+`}`, tool(`sleep "$1"`))
	trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh", "{field:s}"]}`)
}

// TestQueueIsBounded: a call beyond max_queue.calls is answered 429 at once; the calls in the queue are served.
func TestQueueIsBounded(t *testing.T) {
	g := newWorld(t).start("data")
	sleeper(t, g, `{"calls": 3, "wait": "1m"}`)
	waitFor := func(n int) {
		testenv.EventuallyWithin(t, wait, "the calls are recorded", func() bool { return len(list(t, g, "f")) == n })
	}
	call := func(seconds string) record {
		a := get(t, g, "/t?s="+seconds, http.Header{"Prefer": {"respond-async"}})
		status(t, a, http.StatusAccepted)
		return decode[record](t, a.Body)
	}
	first := call("5")
	testenv.EventuallyWithin(t, wait, "the call runs", func() bool { return find(t, g, first.ID).State == "running" })
	accepted := []record{first, call("0"), call("0"), call("0")}
	waitFor(4)
	quickest := time.Hour
	for range 5 {
		sent := time.Now()
		a := get(t, g, "/t?s=0", nil)
		quickest = min(quickest, time.Since(sent))
		status(t, a, http.StatusTooManyRequests)
		if a.Header.Get("Retry-After") == "" || decode[map[string]any](t, a.Body)["kind"] != "limited" {
			t.Errorf("a refusal: %v %s", a.Header, a.Body)
		}
	}
	if quickest > 100*time.Millisecond {
		t.Errorf("the quickest of five refusals took %s", quickest)
	}
	for _, r := range accepted {
		if got := await(t, g, r.ID); got.State != "succeeded" {
			t.Errorf("a call that came before the queue was full: %+v", got)
		}
	}
	if n := len(list(t, g, "f")); n != 4 {
		t.Errorf("%d records, want 4", n)
	}
}

// TestExpiresInQueue: a call that waits longer than max_queue.wait is answered 503 expired, and never runs.
func TestExpiresInQueue(t *testing.T) {
	g := newWorld(t).start("data")
	sleeper(t, g, `{"calls": 10, "wait": "1s"}`)
	first := decode[record](t, get(t, g, "/t?s=6", http.Header{"Prefer": {"respond-async"}}).Body)
	testenv.EventuallyWithin(t, wait, "the call runs", func() bool { return find(t, g, first.ID).State == "running" })
	queued := decode[record](t, get(t, g, "/t?s=0", http.Header{"Prefer": {"respond-async"}}).Body)
	a := get(t, g, "/t?s=0", nil)
	refused(t, "a call that waited too long", a)
	if a.Header.Get("Davit-Reason") != "expired" {
		t.Errorf("Davit-Reason is %q", a.Header.Get("Davit-Reason"))
	}
	for _, id := range []string{queued.ID, a.Header.Get("Davit-Invocation")} {
		if r := await(t, g, id); r.State != "failed" || r.reason() != "expired" {
			t.Errorf("a call that waited too long: %+v, reason %q", r, r.reason())
		}
	}
	if r := await(t, g, first.ID); r.State != "succeeded" {
		t.Errorf("the call that ran: %+v", r)
	}
}

// TestTimeout: a timed-out call is answered 504, and all processes of its command are ended, also processes in a
// session of their own or that ignore SIGTERM.
func TestTimeout(t *testing.T) {
	for mode, spec := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			seconds := map[string]string{"job": "641", "standby": "642", "warm": "643"}[mode]
			g := newWorld(t).start("data")
			function(t, g, "f", spec, tool("trap '' TERM\nsetsid sh -c 'trap \"\" TERM; sleep "+seconds+"; true' &\n(sleep "+seconds+" &)\necho before; sleep "+seconds))
			trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh"], "timeout": "1s"}`)
			a := get(t, g, "/t", nil)
			status(t, a, http.StatusGatewayTimeout)
			problem := decode[map[string]any](t, a.Body)
			if a.Header.Get("Davit-Reason") != "timed_out" || problem["kind"] != "timed_out" || !strings.Contains(fmt.Sprint(problem["log_tail"]), "before") {
				t.Errorf("a time-out: %v %s", a.Header, a.Body)
			}
			if r := await(t, g, a.Header.Get("Davit-Invocation")); r.State != "failed" || r.reason() != "timed_out" {
				t.Errorf("record: %+v", r)
			}
			if left := processes("sleep", seconds); len(left) > 0 {
				testenv.EventuallyWithin(t, 15*time.Second, "all processes of the command have ended", func() bool { return len(processes("sleep", seconds)) == 0 })
			}
		})
	}
}

// TestBodyIsBounded: a body that is too large is answered 413, before it is read if its Content-Length says so, else
// while it is read.
func TestBodyIsBounded(t *testing.T) {
	g := newWorld(t).start("data")
	function(t, g, "f", "{}", tool(`wc -c < body`))
	trigger(t, g, "t", `{"function": "f", "methods": ["PUT"], "path": "/t", "command": ["sh", "tool.sh"], "max_body": "64Ki"}`)
	put := func(body io.Reader) *rig.Answer {
		a, err := g.Call(t.Context(), http.MethodPut, "/t", body, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	exact := bytes.Repeat([]byte("x"), 64<<10)
	for name, body := range map[string]io.Reader{"with": bytes.NewReader(exact), "without": io.MultiReader(bytes.NewReader(exact))} {
		a := put(body)
		if a.Status != http.StatusOK || unzip(t, a.Body)["stdout"] != "65536\n" {
			t.Errorf("%s Content-Length, as large as allowed: %d %.200q", name, a.Status, a.Body)
		}
	}
	c, err := net.Dial("tcp", g.Calls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "PUT /t HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 64<<10+1); err != nil { // and no byte of it
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a Content-Length that is too large: %d", res.StatusCode)
	}
	a := put(io.MultiReader(bytes.NewReader(exact), strings.NewReader("y")))
	status(t, a, http.StatusRequestEntityTooLarge)
	if kind := decode[map[string]any](t, a.Body)["kind"]; kind != "too_large" {
		t.Errorf("kind is %v", kind)
	}
	testenv.EventuallyWithin(t, wait, "no call is left open", func() bool {
		for _, r := range list(t, g, "f") {
			if r.State != "succeeded" && r.State != "failed" && r.State != "cancelled" {
				return false
			}
		}
		return true
	})
}

// TestRetention: after the retention the result is not found, and its objects are removed from the store.
func TestRetention(t *testing.T) {
	w := newWorld(t)
	g := w.start("data")
	function(t, g, "f", "{}", tool(`cat "$1" > out.txt; echo logged`))
	trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh", "{file:in}"], "results": ["out.txt"], "retention": "2s"}`)
	a := post(t, g, "/t", nil, rig.Part{Name: "in", Filename: "in.txt", Data: []byte("kept a while")})
	status(t, a, http.StatusOK)
	id := a.Header.Get("Davit-Invocation")
	await(t, g, id)
	status(t, get(t, g, "/-/invocations/"+id+"/result", nil), http.StatusOK)
	if len(stored(t, w, id)) < 3 {
		t.Errorf("in the store: %v, want input, result and log", stored(t, w, id))
	}
	testenv.EventuallyWithin(t, wait, "the result has expired", func() bool {
		return get(t, g, "/-/invocations/"+id+"/result", nil).Status == http.StatusGone
	})
	testenv.EventuallyWithin(t, 2*wait, "the objects are removed", func() bool { return len(stored(t, w, id)) == 0 })
}

// stored lists the files in the store's folder that belong to an invocation.
func stored(t *testing.T, w *world, id string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(w.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.Contains(path, "invocations/"+id+"/") {
			found = append(found, path)
		}
		return nil //nolint:nilerr // the entry was removed meanwhile
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestKeep: the store has no objects of a call that its trigger does not keep.
func TestKeep(t *testing.T) {
	w := newWorld(t)
	g := w.start("data")
	function(t, g, "f", "{}", tool(`echo logged; cat "$1" > out.txt; exit "$2"`))
	for _, keep := range []string{"none", "failed"} {
		trigger(t, g, keep, `{"function": "f", "methods": ["POST"], "path": "/`+keep+`", "command": ["sh", "tool.sh", "{file:in}", "{field:code}"], "results": ["out.txt"], "keep": "`+keep+`"}`)
		for _, code := range []string{"0", "4"} {
			parts := []rig.Part{{Name: "in", Filename: "in.txt", Data: []byte("in")}, {Name: "code", Data: []byte(code)}}
			id := post(t, g, "/"+keep, nil, parts...).Header.Get("Davit-Invocation")
			r := await(t, g, id)
			kept := keep == "failed" && code == "4"
			if kept { // the uploads may end after the answer
				testenv.EventuallyWithin(t, wait, "the input is stored", func() bool { return len(stored(t, w, id)) > 0 })
			}
			objects := stored(t, w, id)
			if kept != (len(objects) > 0) {
				t.Errorf("keep %s, exit %s: in the store is %v", keep, code, objects)
			}
			if want := map[bool]int{true: http.StatusOK, false: http.StatusGone}[kept]; want != admin(t, g, http.MethodGet, "/v1/invocations/"+id+"/input", "").Status {
				t.Errorf("keep %s, exit %s: the input is not answered %d; %+v", keep, code, want, r)
			}
		}
		r := async(t, g, "/"+keep, rig.Part{Name: "in", Filename: "in.txt", Data: []byte("in")}, rig.Part{Name: "code", Data: []byte("0")})
		await(t, g, r.ID)
		a := get(t, g, "/-/invocations/"+r.ID+"/result", nil)
		if a.Status != http.StatusOK || unzip(t, a.Body)["out.txt"] != "in" {
			t.Errorf("keep %s, answered 202: no result: %d %.200q", keep, a.Status, a.Body)
		}
	}
}
