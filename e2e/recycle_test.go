package e2e

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// whoRan calls /t and returns the answer, the process id of the runner.
func whoRan(t *testing.T, g *rig.Gateway) string {
	t.Helper()
	return runnerOf(t, get(t, g, "/t", nil))
}

// runnerOf returns the runner's process id from the answer of a warm call.
func runnerOf(t *testing.T, a *rig.Answer) string {
	t.Helper()
	status(t, a, http.StatusOK)
	if start := a.Header.Get("Davit-Start"); start != "warm" {
		t.Errorf("Davit-Start is %q", start)
	}
	return strings.TrimSpace(string(a.Body))
}

// TestRecycle: a warm runner is replaced after max_calls, after max_age, and when its start process ends. The next call
// does not fail.
func TestRecycle(t *testing.T) {
	g := newWorld(t).start("data")
	files := tool("echo $PPID > out.txt")
	files["start.sh"] = `echo $$ > "$DAVIT_SHARED/pid"; touch "$DAVIT_SHARED/ready"; exec sleep 600`
	files["tell.sh"] = `echo "$PPID $(cat "$DAVIT_SHARED/pid")" > out.txt`
	trigger := func(script string) {
		trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "`+script+`"], "results": ["out.txt"], "response": "file"}`)
	}
	t.Run("max_calls", func(t *testing.T) {
		function(t, g, "f", `{"mode": "warm", "warm": {"min": 0, "max": 1, "max_calls": 3}}`, files)
		trigger("tool.sh")
		runners := map[string]int{}
		for range 10 {
			runners[whoRan(t, g)]++
		}
		for runner, calls := range runners {
			if calls > 3 {
				t.Errorf("runner %s took %d calls, with max_calls 3", runner, calls)
			}
		}
		if len(runners) != 4 {
			t.Errorf("10 calls were taken by %d runners, want 4: %v", len(runners), runners)
		}
	})
	t.Run("max_age", func(t *testing.T) {
		function(t, g, "f", `{"mode": "warm", "warm": {"min": 1, "max": 1, "max_age": "1s"}}`, files)
		first := whoRan(t, g)
		testenv.EventuallyWithin(t, wait, "another runner takes calls", func() bool { return whoRan(t, g) != first })
	})
	t.Run("start process ends", func(t *testing.T) {
		function(t, g, "f", `{"mode": "warm", "warm": {"min": 1, "max": 1}, "start": {"command": ["sh", "start.sh"], "ready": {"file": "ready"}}}`, files)
		trigger("tell.sh")
		first := strings.Fields(whoRan(t, g))
		kill(t, first[1], syscall.SIGKILL)
		testenv.EventuallyWithin(t, wait, "a runner takes calls whose start process runs", func() bool {
			a := get(t, g, "/t", nil)
			if a.Header.Get("Davit-Reason") == "start_failed" { // the runner did not know yet that its start process was killed
				return false
			}
			now := strings.Fields(runnerOf(t, a))
			return now[0] != first[0] && now[1] != first[1]
		})
	})
}

func kill(t *testing.T, pid string, sig syscall.Signal) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err == nil {
		err = syscall.Kill(n, sig)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHungRunner: the call of a runner that hangs fails with runner_lost, and the runner is ended and replaced,
// although the function may have only one.
func TestHungRunner(t *testing.T) {
	t.Parallel()
	g := newWorld(t).start("data", "DAVIT_RUNNER_GRACE=1s")
	function(t, g, "f", `{"mode": "warm", "warm": {"min": 0, "max": 1}}`, tool(`echo "runner $PPID"; echo $PPID > out.txt; sleep "$1"`))
	trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh", "{field:s}"], "results": ["out.txt"],
		"response": "file", "fields": [{"name": "s", "kind": "number", "default": "0"}]}`)
	hung := whoRan(t, g)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		testenv.EventuallyWithin(t, wait, "the call runs", func() bool { return len(processes("sleep", "641.5")) == 1 })
		kill(t, hung, syscall.SIGSTOP)
	}()
	a := get(t, g, "/t?s=641.5", nil)
	<-stopped
	status(t, a, http.StatusServiceUnavailable)
	if reason := a.Header.Get("Davit-Reason"); reason != "runner_lost" {
		t.Errorf("Davit-Reason is %q", reason)
	}
	if r := await(t, g, a.Header.Get("Davit-Invocation")); r.State != "failed" || r.reason() != "runner_lost" {
		t.Errorf("record: %+v", r)
	}
	if next := whoRan(t, g); next == hung {
		t.Error("the runner that hung ran the next call")
	}
	testenv.EventuallyWithin(t, wait, "the runner that hung and its command have ended", func() bool {
		_, err := os.Stat("/proc/" + hung)
		return err != nil && len(processes("sleep", "641.5")) == 0
	})
}

// TestFromZeroAtOnce: the first runner serves all calls that wait while it starts.
func TestFromZeroAtOnce(t *testing.T) {
	t.Parallel()
	g := newWorld(t).start("data")
	files := tool("echo $PPID > out.txt")
	files["start.sh"] = `sleep 0.5; touch "$DAVIT_SHARED/ready"; exec sleep 600`
	function(t, g, "f", `{"mode": "warm", "warm": {"min": 0, "max": 1, "concurrency": 2, "idle": "1s"}, "start": {"command": ["sh", "start.sh"], "ready": {"file": "ready"}}}`, files)
	trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh"], "results": ["out.txt"], "response": "file"}`)
	for range 2 {
		testenv.EventuallyWithin(t, wait, "no runner is left without calls", func() bool { return children(g) == 0 })
		answers := make(chan string, 8)
		for range cap(answers) {
			go func() {
				a, err := g.Call(t.Context(), http.MethodGet, "/t", nil, nil)
				if !answered(a, err) {
					t.Errorf("%+v, %v", a, err)
					answers <- ""
					return
				}
				answers <- string(a.Body)
			}()
		}
		runners := map[string]bool{}
		for range cap(answers) {
			runners[<-answers] = true
		}
		if len(runners) != 1 {
			t.Errorf("the calls were served by the runners %v, want one", runners)
		}
	}
}
