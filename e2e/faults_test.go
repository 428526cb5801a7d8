package e2e

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// slowTrigger registers a function that reports its run to the ledger and then takes that many seconds.
func slowTrigger(t *testing.T, g *rig.Gateway, l *ledger, spec, seconds string) {
	t.Helper()
	function(t, g, "f", spec, l.script("sleep "+seconds+"; echo done > out.txt\n"))
	trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["bash", "tool.sh"], "results": ["out.txt"]}`)
}

// TestKilledGatewayLosesNothing: an invocation that was answered 202 runs once and becomes final, in whatever state it
// is when its gateway is killed.
func TestKilledGatewayLosesNothing(t *testing.T) {
	for mode, spec := range map[string]string{
		"job":  `{"max_concurrency": 3}`,
		"warm": `{"mode": "warm", "warm": {"min": 0, "max": 2, "concurrency": 2}}`,
	} {
		t.Run(mode, func(t *testing.T) {
			w, l := newWorld(t, "DAVIT_RUNNER_ADDR="+freePort(t)), newLedger(t)
			g := w.start("data")
			slowTrigger(t, g, l, spec, "1")
			var ids []string
			for range 12 {
				ids = append(ids, async(t, g, "/t").ID)
			}
			testenv.EventuallyWithin(t, wait, "some have ended and some run", func() bool { return l.total() >= 5 })
			g.Kill()
			g = w.start("data")
			for _, id := range ids {
				if r := await(t, g, id); r.State != "succeeded" {
					t.Errorf("after the kill: %+v, reason %q", r, r.reason())
				}
				l.once(t, id)
				result := admin(t, g, http.MethodGet, "/v1/invocations/"+id+"/result", "")
				if result.Status != http.StatusOK || unzip(t, result.Body)["out.txt"] != "done\n" {
					t.Errorf("result of %s: %d %.200q", id, result.Status, result.Body)
				}
			}
		})
	}
}

// TestOtherGatewayTakesOver: within 15 s the other gateway leads the invocations that the killed one had accepted or
// was running.
func TestOtherGatewayTakesOver(t *testing.T) {
	a, b, _ := twoGateways(t)
	l := newLedger(t)
	slowTrigger(t, a, l, `{"max_concurrency": 4}`, "3")
	var ids []string
	for range 6 {
		ids = append(ids, async(t, a, "/t").ID)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan struct{})
	go func() { // the gateway of this caller is killed; the list shows its invocation
		defer close(over)
		_, _ = a.Call(ctx, http.MethodPost, "/t", nil, nil)
	}()
	testenv.EventuallyWithin(t, wait, "some run", func() bool { return l.total() >= 4 })
	testenv.EventuallyWithin(t, wait, "all are recorded", func() bool { return len(list(t, b, "f")) == 7 })
	a.Kill()
	const within = 15*time.Second + 2*3*time.Second + 5*time.Second // the lease, two rounds of the command, slack
	testenv.Returns(t, within, "all become final", func() {
		<-over
		for _, id := range ids {
			if r := await(t, b, id); r.State != "succeeded" {
				t.Errorf("after the kill: %+v, reason %q", r, r.reason())
			}
			l.once(t, id)
			result := get(t, b, "/-/invocations/"+id+"/result", nil)
			if result.Status != http.StatusOK || unzip(t, result.Body)["out.txt"] != "done\n" {
				t.Errorf("result of %s: %d %.200q", id, result.Status, result.Body)
			}
		}
	})
	for _, r := range list(t, b, "f") {
		if r = await(t, b, r.ID); l.count(r.ID) > 1 {
			t.Errorf("%s ran %d times", r.ID, l.count(r.ID))
		}
	}
}

// killRunner kills a runner, whose process id its command printed.
func killRunner(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatal(err)
	}
	if line, err := os.ReadFile("/proc/" + strconv.Itoa(n) + "/comm"); err != nil || !strings.HasPrefix(string(line), "davit-runner") {
		t.Fatalf("process %d is not a runner: %q, %v", n, line, err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestKilledRunner: a caller does not notice that an idle runner was killed. If the runner is killed during a call, the
// call fails with runner_lost, and the next call succeeds.
func TestKilledRunner(t *testing.T) {
	for mode, spec := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			g := newWorld(t).start("data")
			function(t, g, "f", spec, tool(`echo "runner $PPID"; echo $PPID > pid.txt; sleep "$1"`))
			trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh", "{field:s}"], "results": ["pid.txt"]}`)
			call := func(seconds string) *rig.Answer {
				return post(t, g, "/t", nil, rig.Part{Name: "s", Data: []byte(seconds)})
			}
			a := call("0")
			status(t, a, http.StatusOK)
			if mode == "warm" {
				killRunner(t, unzip(t, a.Body)["pid.txt"])
				status(t, call("0"), http.StatusOK)
			}
			answered := make(chan *rig.Answer, 1)
			go func() {
				defer close(answered)
				answered <- call("63")
			}()
			id := killInCall(t, g)
			if a = <-answered; a == nil {
				t.FailNow()
			}
			status(t, a, http.StatusServiceUnavailable)
			if a.Header.Get("Davit-Reason") != "runner_lost" || a.Header.Get("Retry-After") == "" {
				t.Errorf("headers: %v", a.Header)
			}
			if got := a.Header.Get("Davit-Invocation"); got != id {
				t.Errorf("Davit-Invocation is %q, want %q", got, id)
			}
			if r := await(t, g, id); r.State != "failed" || r.reason() != "runner_lost" {
				t.Errorf("record: %+v", r)
			}
			status(t, call("0"), http.StatusOK)
		})
	}
	testenv.EventuallyWithin(t, wait, "the commands of killed runners have ended", func() bool { return len(processes("sleep", "63")) == 0 })
}

// killInCall kills the runner of the running call, whose process id the call's log has, and returns the call's id.
func killInCall(t *testing.T, g *rig.Gateway) string {
	var id, pid string
	testenv.EventuallyWithin(t, wait, "a call is running with a log", func() (found bool) {
		for _, r := range list(t, g, "f") {
			if r.State != "running" {
				continue
			}
			log := string(admin(t, g, http.MethodGet, "/v1/invocations/"+r.ID+"/log", "").Body)
			if pid, found = strings.CutPrefix(log, "runner "); found {
				id = r.ID
				return true
			}
		}
		return false
	})
	killRunner(t, pid)
	return id
}

// TestStopWithWaitingCallers: when the gateway gets SIGTERM, every caller gets its answer, or a 202 for an invocation
// that ends later, and no runner is left.
func TestStopWithWaitingCallers(t *testing.T) {
	w, l := newWorld(t, "DAVIT_DRAIN=20s"), newLedger(t)
	g := w.start("data")
	slowTrigger(t, g, l, `{"max_concurrency": 2}`, "3")
	answers := make(chan *rig.Answer, 5)
	for range cap(answers) {
		go func() {
			a, err := g.Call(t.Context(), http.MethodPost, "/t", nil, nil)
			if err != nil {
				t.Errorf("a caller got no answer: %v", err)
			}
			answers <- a
		}()
	}
	testenv.EventuallyWithin(t, wait, "two run and three wait", func() bool { return l.total() == 2 && len(list(t, g, "f")) == 5 })
	if err := g.Stop(); err != nil {
		t.Error(err)
	}
	if left := w.runners(); len(left) > 0 {
		t.Errorf("runners are left: %v", left)
	}
	again := w.start("data")
	codes := map[int]int{}
	for range cap(answers) {
		a := <-answers
		if a == nil {
			continue
		}
		codes[a.Status]++
		id := a.Header.Get("Davit-Invocation")
		if r := await(t, again, id); r.State != "succeeded" {
			t.Errorf("answered %d before the stop: %+v, reason %q", a.Status, r, r.reason())
		}
		l.once(t, id)
	}
	if codes[http.StatusOK] != 2 || codes[http.StatusAccepted] != 3 {
		t.Errorf("answers by status: %v, want 2 of 200 and 3 of 202", codes)
	}
}

// hangUp calls a trigger, closes the connection as soon as the command runs, and returns the invocation's id.
func hangUp(t *testing.T, g *rig.Gateway, path string, l *ledger) string {
	t.Helper()
	before := l.total()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		if a, err := g.Call(ctx, http.MethodPost, path, nil, nil); err == nil {
			t.Errorf("the caller got %d before it closed the connection", a.Status)
		}
	}()
	testenv.EventuallyWithin(t, wait, "the call runs", func() bool { return l.total() > before })
	cancel()
	<-over
	var records []record
	testenv.EventuallyWithin(t, wait, "the call is recorded", func() bool { records = list(t, g, "f"); return len(records) > before })
	return records[0].ID
}

// TestHangUp: a call whose caller closes the connection is cancelled only if its trigger says so.
func TestHangUp(t *testing.T) {
	for mode, spec := range modes {
		t.Run(mode, func(t *testing.T) {
			g, l := newWorld(t).start("data"), newLedger(t)
			slowTrigger(t, g, l, spec, "2")
			trigger(t, g, "c", `{"function": "f", "methods": ["POST"], "path": "/c", "command": ["bash", "tool.sh"], "results": ["out.txt"], "on_disconnect": "cancel"}`)
			if r := await(t, g, hangUp(t, g, "/t", l)); r.State != "succeeded" {
				t.Errorf("on_disconnect continue: %+v, reason %q", r, r.reason())
			}
			if r := await(t, g, hangUp(t, g, "/c", l)); r.State != "cancelled" {
				t.Errorf("on_disconnect cancel: %+v, reason %q", r, r.reason())
			}
		})
	}
}

// TestOneGatewayPerDataFolder: a second embedded gateway on the same data folder does not start, and logs why.
func TestOneGatewayPerDataFolder(t *testing.T) {
	w := newWorld(t)
	g := w.start("data")
	function(t, g, "f", "{}", tool("echo one"))
	_, err := rig.Start(t.Context(), rig.Options{Bin: bin, Bare: true, Log: w.log.File, Env: []string{
		"DAVIT_DATA_DIR=" + w.dir + "/data", "DAVIT_CONSOLE_ADDR=127.0.0.1:0", "DAVIT_CALLS_ADDR=127.0.0.1:0",
		"DAVIT_RUNNER_ADDR=127.0.0.1:0", "DAVIT_DOWNLOAD_ADDR=127.0.0.1:0",
	}})
	if err == nil {
		t.Fatal("the second gateway started")
	}
	log, err := os.ReadFile(w.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "another") {
		t.Error("its log does not say that another gateway uses the folder")
	}
	status(t, admin(t, g, http.MethodGet, "/v1/functions/f", ""), http.StatusOK)
}

// TestSecondStart: a restarted gateway has the registrations of before, after a stop and after a kill.
func TestSecondStart(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *rig.Gateway){
		"stop": func(t *testing.T, g *rig.Gateway) {
			if err := g.Stop(); err != nil {
				t.Error(err)
			}
		},
		"kill": func(_ *testing.T, g *rig.Gateway) { g.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			g := w.start("data")
			function(t, g, "f", "{}", tool("echo found"))
			trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh"]}`)
			end(t, g)
			again := w.start("data")
			if again.Token != g.Token {
				t.Error("the token changed over a restart")
			}
			a := get(t, again, "/t", nil)
			status(t, a, http.StatusOK)
			if got := unzip(t, a.Body)["stdout"]; got != "found\n" {
				t.Errorf("stdout is %q", got)
			}
		})
	}
}
