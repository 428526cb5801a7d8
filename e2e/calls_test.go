package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// wait is how long a test waits for a condition. It is far longer than any takes, because the machine may be loaded.
const wait = 60 * time.Second

// modes are the specs of one function in the three modes.
var modes = map[string]string{
	"job":     `{"mode": "job"}`,
	"standby": `{"mode": "job", "standby": 2}`,
	"warm":    `{"mode": "warm", "warm": {"min": 0, "max": 2, "concurrency": 2, "idle": "1m"}}`,
}

func tool(script string) map[string]string {
	return map[string]string{"tool.sh": "#!/bin/sh\n" + script}
}

// TestModes runs the same calls in every mode.
func TestModes(t *testing.T) {
	for mode, spec := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			g := newWorld(t).start("data")
			function(t, g, "f", spec, tool(`cat "$1" > out.txt; echo logged; echo also >&2; exit ${2:-0}`))
			trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t/:who", "command": ["sh", "tool.sh", "{file:in}", "{field:code}"],
				"fields": [{"name": "code", "kind": "number", "default": "0"}, {"name": "in", "kind": "file", "required": true}], "results": ["*.txt"]}`)
			for i := range 3 {
				text := fmt.Sprintf("call %d", i)
				a := post(t, g, "/t/me", nil, rig.Part{Name: "in", Filename: "in.dat", Data: []byte(text)})
				status(t, a, http.StatusOK)
				if got := unzip(t, a.Body)["out.txt"]; got != text {
					t.Errorf("out.txt is %q, want %q", got, text)
				}
				id := a.Header.Get("Davit-Invocation")
				r := await(t, g, id)
				if r.State != "succeeded" || r.ExitCode == nil || *r.ExitCode != 0 {
					t.Errorf("record of a success: %+v", r)
				}
				result := admin(t, g, http.MethodGet, "/v1/invocations/"+id+"/result", "")
				status(t, result, http.StatusOK)
				if string(result.Body) != string(a.Body) {
					t.Error("the stored result differs from the result that the caller got")
				}
				if log := admin(t, g, http.MethodGet, "/v1/invocations/"+id+"/log", ""); string(log.Body) != "logged\nalso\n" {
					t.Errorf("log is %q", log.Body)
				}
			}
			a := post(t, g, "/t/me", nil, rig.Part{Name: "in", Filename: "in.dat", Data: []byte("x")}, rig.Part{Name: "code", Data: []byte("3")})
			status(t, a, http.StatusBadGateway)
			if a.Header.Get("Davit-Reason") != "exit_code" || a.Header.Get("Davit-Exit-Code") != "3" {
				t.Errorf("headers of a failure: %v", a.Header)
			}
			problem := decode[map[string]any](t, a.Body)
			if problem["kind"] != "function_failed" || !strings.Contains(fmt.Sprint(problem["log_tail"]), "also") {
				t.Errorf("problem of a failure: %s", a.Body)
			}
		})
	}
}

// TestAsync: a call is answered 202 at once, or when its wait budget ends while it runs or is queued.
func TestAsync(t *testing.T) {
	g := newWorld(t).start("data")
	function(t, g, "f", `{"max_concurrency": 1}`, tool(`sleep "$1"; cat "$2" > out.txt`))
	trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh", "{field:s}", "{file:in}"], "results": ["out.txt"]}`)
	send := func(prefer, seconds string) *rig.Answer {
		return post(t, g, "/t", http.Header{"Prefer": {prefer}}, rig.Part{Name: "s", Data: []byte(seconds)}, rig.Part{Name: "in", Filename: "in.txt", Data: []byte("input " + prefer)})
	}
	for name, a := range map[string]*rig.Answer{"at once": send("respond-async", "0.1"), "running, then queued": send("wait=1", "3"), "queued": send("wait=1", "0")} {
		status(t, a, http.StatusAccepted)
		r := decode[record](t, a.Body)
		location := a.Header.Get("Location")
		if location != "/-/invocations/"+r.ID {
			t.Errorf("%s: Location is %q", name, location)
		}
		testenv.EventuallyWithin(t, wait, "final", func() bool {
			r = decode[record](t, get(t, g, location+"?wait=10s", nil).Body)
			return r.State == "succeeded" || r.State == "failed"
		})
		if r.State != "succeeded" || r.Result == nil || !r.Result.Stored {
			t.Fatalf("%s: record: %+v", name, r)
		}
		result := get(t, g, location+"/result", nil)
		status(t, result, http.StatusOK)
		if got := unzip(t, result.Body)["out.txt"]; !strings.HasPrefix(got, "input ") {
			t.Errorf("%s: out.txt is %q", name, got)
		}
		input := admin(t, g, http.MethodGet, "/v1/invocations/"+r.ID+"/input", "")
		status(t, input, http.StatusOK)
		if !strings.Contains(string(input.Body), "input ") || !strings.HasPrefix(input.Header.Get("Content-Type"), "multipart/form-data") {
			t.Errorf("%s: the stored input differs from the body that was sent: %s", name, input.Header)
		}
	}
}

// TestCancel cancels a running and a queued invocation.
func TestCancel(t *testing.T) {
	g := newWorld(t).start("data")
	function(t, g, "f", `{"max_concurrency": 1}`, tool(`sleep 60`))
	trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh"]}`)
	running := decode[record](t, post(t, g, "/t", http.Header{"Prefer": {"respond-async"}}).Body)
	testenv.EventuallyWithin(t, wait, "the first call runs", func() bool {
		return decode[record](t, admin(t, g, http.MethodGet, "/v1/invocations/"+running.ID, "").Body).State == "running"
	})
	queued := decode[record](t, post(t, g, "/t", http.Header{"Prefer": {"respond-async"}}).Body)
	for _, id := range []string{queued.ID, running.ID} {
		status(t, admin(t, g, http.MethodPost, "/v1/invocations/"+id+"/cancel", ""), http.StatusAccepted)
		if r := await(t, g, id); r.State != "cancelled" || r.reason() != "cancelled" {
			t.Errorf("after a cancel: %+v", r)
		}
	}
	testenv.EventuallyWithin(t, wait, "the command has ended", func() bool { return len(processes("sleep", "60")) == 0 })
}

// TestStopLeavesNothing: a gateway that gets SIGTERM also ends its runners and their commands.
func TestStopLeavesNothing(t *testing.T) {
	w := newWorld(t, "DAVIT_DRAIN=1s")
	g := w.start("data")
	function(t, g, "f", `{"mode": "warm", "warm": {"min": 2, "max": 2}}`, tool(`sleep 61`))
	trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh"]}`)
	r := decode[record](t, post(t, g, "/t", http.Header{"Prefer": {"respond-async"}}).Body)
	testenv.EventuallyWithin(t, wait, "the call runs", func() bool { return len(processes("sleep", "61")) > 0 })
	if len(w.runners()) == 0 {
		t.Fatal("no runner is found")
	}
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	if left := processes("sleep", "61"); len(left) > 0 {
		t.Errorf("commands are left: %v", left)
	}
	if left := w.runners(); len(left) > 0 {
		t.Errorf("runners are left: %v", left)
	}
	again := w.start("data")
	if got := await(t, again, r.ID); got.State != "failed" || got.reason() != "runner_lost" {
		t.Errorf("an invocation that the stop interrupted: %+v", got)
	}
}
