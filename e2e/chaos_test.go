//go:build all

package e2e

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// chaos is a load on two gateways. Meanwhile the test kills warm and standby runners, and kills and restarts the first
// gateway.
type chaos struct {
	fire

	first       atomic.Pointer[rig.Gateway] // the first gateway, replaced by its restart
	beforeKill  sync.Map                    // ids of the calls that it answered before it was killed
	transitions atomic.Int64                // kills and restarts of it: odd while it is down
}

// TestChaosOnKeptRunners: although runners and a gateway are killed, no invocation runs twice, no accepted one is lost,
// and every answer agrees with its record.
func TestChaosOnKeptRunners(t *testing.T) {
	c := &chaos{fire: fire{t: t, seed: *fireSeed, answered: map[string]*rig.Answer{}, ledger: newLedger(t)}}
	if c.seed == 0 {
		c.seed = rand.Uint64()
	}
	t.Logf("go test ./e2e -run %s -seed %d", t.Name(), c.seed)
	c.w = newWorld(t, append(s3(testenv.MinIO(t)), redisURL(testenv.StartRedis(t)), "DAVIT_RUNNER_GRACE=5s", "DAVIT_LEASE=3s")...)
	for i := range c.gateways {
		c.gateways[i] = c.w.start("data" + strconv.Itoa(i))
	}
	c.first.Store(c.gateways[0])
	kept := []string{"standby", "warm"}
	for _, mode := range kept {
		function(t, c.gateways[1], mode, strings.TrimSuffix(modes[mode], "}")+`, "max_concurrency": 4}`, c.ledger.script(`sleep "$1"; wc -c < "$2" > out.txt`+"\n"))
		trigger(t, c.gateways[1], mode, `{"function": "`+mode+`", "methods": ["POST"], "path": "/`+mode+`", "timeout": "20s", "results": ["out.txt"],
			"command": ["bash", "tool.sh", "{field:s}", "{file:in}"], "fields": [{"name": "s", "kind": "number", "default": "0"}, {"name": "in", "kind": "file", "required": true}]}`)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers, killers sync.WaitGroup
	killers.Go(func() { c.killRunners(ctx) })
	end := time.Now().Add(fireFor)
	for i := range fireCallers {
		callers.Go(func() {
			dice := rand.New(rand.NewPCG(c.seed, uint64(i)))
			for n := 0; n < fireCalls && time.Now().Before(end); n++ {
				c.call(dice, i)
			}
		})
	}
	<-time.After(fireFor / 4)
	c.transitions.Add(1)
	c.gateways[0].Kill()
	<-time.After(fireFor / 4)
	c.gateways[0] = c.w.start("data0")
	c.first.Store(c.gateways[0])
	c.transitions.Add(1)
	callers.Wait()
	cancel()
	killers.Wait()
	c.check(kept)
}

// killRunners kills a runner now and then until ctx ends.
func (c *chaos) killRunners(ctx context.Context) {
	dice := rand.New(rand.NewPCG(c.seed, 1<<34))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(200+dice.IntN(600)) * time.Millisecond):
		}
		pids := c.w.runners()
		own := map[int]bool{}
		for _, pid := range pids {
			own[pid] = true
		}
		for _, i := range dice.Perm(len(pids)) { // a process that a runner has just forked has the runner's command line
			if !own[int(statusKiB(pids[i], "PPid:"))] && syscall.Kill(pids[i], syscall.SIGKILL) == nil {
				c.kills.Add(1)
				break
			}
		}
	}
}

// call makes one random call to one of the gateways. Only the killed gateway may give no answer.
func (c *chaos) call(dice *rand.Rand, caller int) {
	transitions, g := c.transitions.Load(), c.gateways[1]
	toFirst := dice.IntN(2) == 0
	if toFirst {
		g = c.first.Load()
	}
	seconds, size, header := "0", dice.IntN(3000), http.Header{}
	switch dice.IntN(5) {
	case 0:
		header.Set("Prefer", "respond-async")
	case 1:
		header.Set("Prefer", "wait=1")
		seconds = "1.5"
	case 2:
		size = 100<<10 + dice.IntN(400<<10)
	case 3:
		seconds = "0.3"
	}
	body, contentType, err := rig.Form(rig.Part{Name: "s", Data: []byte(seconds)}, rig.Part{Name: "in", Filename: "in", Data: make([]byte, size)})
	if err != nil {
		c.t.Error(err)
		return
	}
	header.Set("Content-Type", contentType)
	a, err := g.Call(c.t.Context(), http.MethodPost, "/"+[]string{"standby", "warm"}[dice.IntN(2)], body, header)
	if a == nil && toFirst && (transitions%2 == 1 || c.transitions.Load() > transitions) {
		<-time.After(50 * time.Millisecond) // it is down
		return
	}
	if a != nil && toFirst && transitions == 0 {
		c.beforeKill.Store(a.Header.Get("Davit-Invocation"), true)
	}
	c.take(a, err, size, caller)
}

// check compares the answers with the records, and the records with the ledger.
func (c *chaos) check(kept []string) {
	t := c.t
	records := c.records(c.gateways[1], kept)
	ends := c.ranOnce(records)
	for id, r := range records {
		if r.State == "failed" && r.reason() != "runner_lost" && r.reason() != "store_unavailable" {
			t.Errorf("%s: %+v %s", id, r, r.reason())
		}
	}
	for id, a := range c.answered {
		if _, before := c.beforeKill.Load(id); before && a.Status == http.StatusOK && records[id].reason() == "runner_lost" {
			continue // the caller has the result, but the gateway and the runner, which could have recorded it, were both killed
		}
		c.agree(a, id, records)
	}
	for _, id := range c.ledger.ids() {
		if n := c.ledger.count(id); n > 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
	t.Logf("%d records %v, %d answers, %d runners killed", len(records), ends, len(c.answered), c.kills.Load())
	if c.kills.Load() == 0 || len(records) < 20 {
		t.Error("no runner was killed, or too few calls were made")
	}
	c.serves(kept)
}
