package e2e

import (
	"net/http"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// slotCounts are a function's slots in the API's answer.
type slotCounts struct{ Runners, Free, Busy, Starting int }

func slotsOf(t *testing.T, g *rig.Gateway, name string) (invocable string, slots map[string]slotCounts) {
	t.Helper()
	a := admin(t, g, http.MethodGet, "/v1/functions/"+name, "")
	status(t, a, http.StatusOK)
	f := decode[struct {
		Invocable string
		Slots     map[string]slotCounts
	}](t, a.Body)
	return f.Invocable, f.Slots
}

// TestSlotsAreReported: the API shows the slots by state; the metrics have them too, and the cold starts and refill
// times.
func TestSlotsAreReported(t *testing.T) {
	g := newWorld(t).start("data", "DAVIT_DRAIN=1s")
	metric := func(name string, words ...string) float64 {
		return sumMetric(t, admin(t, g, http.MethodGet, "/metrics", "").Body, name, words...)
	}
	for _, state := range []string{"free", "busy", "starting"} {
		if n := metric("davit_slots", `state="`+state+`"`); n != 0 {
			t.Errorf("at the beginning %g slots are %s", n, state)
		}
	}
	files := tool("sleep $1")
	files["start.sh"] = `[ ! -e ` + bin + `/slow ] || sleep 601; touch "$DAVIT_SHARED/ready"; exec sleep 600`
	spec := `{"mode": "warm", "warm": {"min": 1, "max": 2, "concurrency": 2}, "timeout": "1m", "start": {"command": ["sh", "start.sh"], "ready": {"file": "ready"}}}`
	function(t, g, "f", spec, files)
	trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh", "{field:s}"]}`)
	if invocable, slots := slotsOf(t, g, "f"); invocable != "ready, 2 of 2 warm" || slots["warm"] != (slotCounts{Runners: 1, Free: 2}) {
		t.Errorf("with one ready runner: %q, %+v", invocable, slots)
	}
	if n := metric("davit_refill_seconds_count", `start="warm"`); n != 1 {
		t.Errorf("%g refills", n)
	}
	status(t, post(t, g, "/t", nil, rig.Part{Name: "s", Data: []byte("0")}), http.StatusOK)
	if n := metric("davit_cold_starts_total"); n != 0 {
		t.Errorf("%g cold starts", n)
	}
	touch(t, bin+"/slow")
	for range 3 {
		async(t, g, "/t", rig.Part{Name: "s", Data: []byte("30")})
	}
	testenv.EventuallyWithin(t, wait, "two slots are taken, and two are being started", func() bool {
		_, slots := slotsOf(t, g, "f")
		return slots["warm"].Busy == 2 && slots["warm"].Free == 0 && slots["warm"].Starting == 2 &&
			metric("davit_slots", `state="busy"`) == 2 && metric("davit_slots", `state="starting"`) == 2
	})
	function(t, g, "g", `{"mode": "job"}`, tool("true"))
	trigger(t, g, "g", `{"function": "g", "methods": ["POST"], "path": "/g", "command": ["sh", "tool.sh"]}`)
	status(t, post(t, g, "/g", nil), http.StatusOK)
	if n := metric("davit_cold_starts_total", `start="job"`); n != 1 {
		t.Errorf("%g cold starts of jobs", n)
	}
}

// TestStandbyDepthFollowsDemand: more standby runners are kept while calls come, and the minimum again after that.
func TestStandbyDepthFollowsDemand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.start("data")
	function(t, g, "f", `{"standby": {"min": 1, "max": 8}}`, tool("true"))
	trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh"]}`)
	parked := func() int {
		_, slots := slotsOf(t, g, "f")
		return slots["standby"].Free
	}
	testenv.EventuallyWithin(t, wait, "min is parked", func() bool { return parked() == 1 })
	stop := callers(t, 4, "/t", answered, g)
	testenv.EventuallyWithin(t, wait, "more than four are kept", func() bool { return w.kept("standby") > 4 })
	stop()
	testenv.EventuallyWithin(t, wait, "the minimum is parked again", func() bool { return parked() == 1 && w.kept("standby") == 1 })
}

// TestStandbyBurst: calls beyond the depth, at two gateways at the same time, start jobs. Each call gets the first
// runner that is ready and runs once, and no runner runs two.
func TestStandbyBurst(t *testing.T) {
	a, b, w := gateways(t)
	l := newLedger(t)
	function(t, a, "f", `{"standby": 3}`, l.script("echo $PPID > out.txt; sleep 0.1\n"))
	trigger(t, a, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["bash", "tool.sh"], "results": ["out.txt"], "response": "file"}`)
	starts := map[string]int{}
	runners := map[string]bool{}
	for range 3 {
		testenv.EventuallyWithin(t, wait, "three are parked", func() bool { return w.kept("standby") == 3 && w.kept("job") == 0 })
		answers := make(chan *rig.Answer, 12)
		for i := range cap(answers) {
			go func() {
				answer, err := []*rig.Gateway{a, b}[i%2].Call(t.Context(), http.MethodPost, "/t", nil, nil)
				if !answered(answer, err) {
					t.Errorf("%+v, %v", answer, err)
					answer = &rig.Answer{Header: http.Header{}}
				}
				answers <- answer
			}()
		}
		for range cap(answers) {
			answer := <-answers
			l.once(t, answer.Header.Get("Davit-Invocation"))
			starts[answer.Header.Get("Davit-Start")]++
			if runner := string(answer.Body); runners[runner] {
				t.Errorf("runner %s ran two calls", runner)
			} else {
				runners[runner] = true
			}
		}
	}
	if starts["standby"] < 3*3 || starts["job"] == 0 || starts["standby"]+starts["job"] != 36 {
		t.Errorf("the starts of the calls are %v", starts)
	}
}
