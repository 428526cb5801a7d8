package e2e

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// fairWorld starts two gateways that run at most three runners together, and registers the functions greedy and modest.
func fairWorld(t *testing.T, greedy string) (a, b *rig.Gateway) {
	t.Helper()
	a, b, _ = gateways(t, "DAVIT_MAX_RUNNERS=3", "DAVIT_DRAIN=1s")
	function(t, a, "greedy", greedy, tool("sleep 0.3217"))
	function(t, a, "modest", `{"mode": "job"}`, tool("true"))
	for _, name := range []string{"greedy", "modest"} {
		trigger(t, a, name, `{"function": "`+name+`", "methods": ["POST"], "path": "/`+name+`", "command": ["sh", "tool.sh"]}`)
	}
	return a, b
}

// TestBurstDoesNotStarve: while all runners are in use and many calls of one function wait, a call of another function
// comes next, and no more than three commands run.
func TestBurstDoesNotStarve(t *testing.T) {
	a, b := fairWorld(t, `{"mode": "job", "max_concurrency": 50}`)
	const burst = 40
	for i := range burst {
		async(t, []*rig.Gateway{a, b}[i%2], "/greedy")
	}
	ctx, cancel := context.WithCancel(t.Context())
	most := 0
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			most = max(most, len(processes("sleep", "0.3217")))
			<-time.After(5 * time.Millisecond)
		}
	})
	testenv.EventuallyWithin(t, wait, "three run", func() bool { return len(processes("sleep", "0.3217")) >= 3 })
	ended := func() (n int) {
		for _, r := range list(t, a, "greedy") {
			if r.State == "succeeded" {
				n++
			}
		}
		return n
	}
	const modest = 4
	for i := range modest {
		before := ended()
		status(t, post(t, []*rig.Gateway{a, b}[i%2], "/modest", nil), http.StatusOK)
		if passed := ended() - before; passed > 9 {
			t.Errorf("modest call %d let %d of the burst pass", i, passed)
		}
	}
	testenv.EventuallyWithin(t, wait, "all calls of the burst have ended", func() bool { return ended() == burst })
	cancel()
	watch.Wait()
	if most != 3 {
		t.Errorf("%d commands ran at once, want 3", most)
	}
}

// TestWarmGivesWay: a function whose warm runners take the whole limit, and are always busy, gives one up for another
// function's call.
func TestWarmGivesWay(t *testing.T) {
	a, b := fairWorld(t, `{"mode": "warm", "warm": {"min": 0, "max": 8}}`)
	stop := callers(t, 6, "/greedy", answered, a, b)
	testenv.EventuallyWithin(t, wait, "three run", func() bool { return len(processes("sleep", "0.3217")) == 3 })
	for i := range 4 {
		status(t, post(t, []*rig.Gateway{a, b}[i%2], "/modest", nil), http.StatusOK)
	}
	testenv.EventuallyWithin(t, wait, "three run again", func() bool { return len(processes("sleep", "0.3217")) == 3 })
	stop()
	status(t, post(t, a, "/modest", nil), http.StatusOK) // while warm runners are idle
}
