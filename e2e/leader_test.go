package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// kept counts the runners of the world's gateways with that start, by their folders.
func (w *world) kept(start string) int {
	names := map[string]bool{} // a process that a runner has just forked has the runner's command line
	for _, pid := range w.runners() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if _, name, found := strings.Cut(string(line), "--name=local-"+start+"-"); found {
			names[name] = true
		}
	}
	return len(names)
}

// most measures the most runners with that start at one time, until asked is called.
func (w *world) most(start string) (asked func() int) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var most int
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for ctx.Err() == nil {
			most = max(most, w.kept(start))
			<-time.After(5 * time.Millisecond)
		}
	})
	return func() int { cancel(); watcher.Wait(); return most }
}

// leader waits until one of the gateways leads, and returns it and the other one.
func leader(t *testing.T, a, b *rig.Gateway) (leads, other *rig.Gateway) {
	t.Helper()
	leading := func(g *rig.Gateway) bool {
		return sumMetric(t, admin(t, g, http.MethodGet, "/metrics", "").Body, "davit_leader") == 1
	}
	testenv.EventuallyWithin(t, wait, "one of the two leads", func() bool { return leading(a) != leading(b) })
	if leading(a) {
		return a, b
	}
	return b, a
}

// callers starts n callers of a path, of the gateways in turn. An answer for which right returns false fails the test.
func callers(t *testing.T, n int, path string, right func(a *rig.Answer, err error) bool, gateways ...*rig.Gateway) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				a, err := gateways[i%len(gateways)].Call(t.Context(), http.MethodPost, path, nil, nil)
				if !right(a, err) {
					t.Errorf("%s: %+v, %v", path, a, err)
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); all.Wait() })
}

func answered(a *rig.Answer, err error) bool { return err == nil && a.Status == http.StatusOK }

// answerCount counts the answers that callers get.
type answerCount struct{ n atomic.Int64 }

func (c *answerCount) answered(a *rig.Answer, err error) bool {
	c.n.Add(1)
	return answered(a, err)
}

// more waits until there are n more.
func (c *answerCount) more(t *testing.T, n int64) {
	t.Helper()
	enough := c.n.Load() + n
	testenv.EventuallyWithin(t, wait, fmt.Sprintf("%d more answers", n), func() bool { return c.n.Load() >= enough })
}

// TestOneLeaderScales: two gateways that are called at the same time keep no more runners than one would.
func TestOneLeaderScales(t *testing.T) {
	a, b, w := gateways(t)
	leads, other := leader(t, a, b)
	files := tool("sleep 0.05")
	function(t, other, "warm", `{"mode": "warm", "warm": {"min": 0, "max": 2, "concurrency": 1, "idle": "1s"}}`, files)
	function(t, leads, "standby", `{"standby": 3}`, files)
	for _, name := range []string{"warm", "standby"} {
		trigger(t, a, name, `{"function": "`+name+`", "methods": ["POST"], "path": "/`+name+`", "command": ["sh", "tool.sh"]}`)
	}
	testenv.EventuallyWithin(t, wait, "three standby runners are kept", func() bool { return w.kept("standby") == 3 })
	testenv.EventuallyWithin(t, wait, "the warm runner of the registration has ended", func() bool { return w.kept("warm") == 0 })
	for range 3 { // from zero each time
		most := w.most("warm")
		var count answerCount
		stop := callers(t, 8, "/warm", count.answered, a, b)
		testenv.EventuallyWithin(t, wait, "two warm runners are kept", func() bool { return w.kept("warm") == 2 })
		count.more(t, 30) // meanwhile there would be more runners
		stop()
		testenv.EventuallyWithin(t, wait, "no warm runner is left without calls", func() bool { return w.kept("warm") == 0 })
		if n := most(); n != 2 {
			t.Errorf("there were %d warm runners at once, with a max of 2", n)
		}
	}
	var count answerCount
	stop := callers(t, 4, "/standby", count.answered, a, b)
	count.more(t, 20)
	stop()
	testenv.EventuallyWithin(t, wait, "three standby runners are kept again", func() bool { return w.kept("standby") == 3 })
	most := w.most("standby")
	<-time.After(2 * time.Second)
	if n := most(); n != 3 {
		t.Errorf("there are %d standby runners, want 3", n)
	}
}

// TestLeaderKilled: if the leader is killed under load, the other gateway leads and starts standby runners within
// seconds, and no call to it fails.
func TestLeaderKilled(t *testing.T) {
	a, b, w := gateways(t)
	leads, other := leader(t, a, b)
	l := newLedger(t)
	function(t, a, "standby", `{"standby": 2}`, l.script("sleep 0.02\n"))
	trigger(t, a, "standby", `{"function": "standby", "methods": ["POST"], "path": "/standby", "command": ["bash", "tool.sh"]}`)
	var mu sync.Mutex
	ids, starts := map[string]bool{}, map[string]int{}
	right := func(a *rig.Answer, err error) bool {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			ids[a.Header.Get("Davit-Invocation")] = true
			starts[a.Header.Get("Davit-Start")]++
		}
		return answered(a, err)
	}
	standbys := func() int {
		mu.Lock()
		defer mu.Unlock()
		return starts["standby"]
	}
	stop := callers(t, 3, "/standby", right, other)
	testenv.EventuallyWithin(t, wait, "standby runners take calls", func() bool { return standbys() > 5 })
	leads.Kill()
	killed, before := time.Now(), standbys()
	testenv.EventuallyWithin(t, wait, "the other one leads", func() bool {
		return sumMetric(t, admin(t, other, http.MethodGet, "/metrics", "").Body, "davit_leader") == 1
	})
	testenv.EventuallyWithin(t, wait, "new standby runners take calls", func() bool { return standbys() > before+10 })
	t.Logf("the other gateway's standby runners took calls %s after the kill", time.Since(killed))
	stop()
	function(t, other, "warm", `{"mode": "warm", "warm": {"min": 0, "max": 1}}`, tool("true"))
	trigger(t, other, "warm", `{"function": "warm", "methods": ["POST"], "path": "/warm", "command": ["sh", "tool.sh"]}`)
	status(t, post(t, other, "/warm", nil), http.StatusOK)
	testenv.EventuallyWithin(t, wait, "two are parked", func() bool { return w.kept("standby") == 2 })
	mu.Lock()
	defer mu.Unlock()
	for id := range ids {
		l.once(t, id)
	}
}

// TestBrokenStartOnAllGateways: a registration whose start process fails is answered soon, also at the gateway that
// does not lead.
func TestBrokenStartOnAllGateways(t *testing.T) {
	a, b, w := gateways(t)
	files := tool("true")
	files["start.sh"] = "echo the model is not there >&2; exit 7"
	for i, g := range []*rig.Gateway{a, b} {
		testenv.Returns(t, 20*time.Second, fmt.Sprintf("the registration at gateway %d", i), func() {
			notBuilt(t, register(t, g, "f", `{"mode": "warm", "start": {"command": ["sh", "start.sh"], "ready": {"file": "ready"}}}`, files),
				"its start process failed", "the model is not there")
		})
	}
	testenv.EventuallyWithin(t, wait, "no runner is left", func() bool { return w.kept("warm") == 0 })
}
