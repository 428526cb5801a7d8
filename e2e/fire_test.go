//go:build all

package e2e

import (
	"context"
	"flag"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
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

var fireSeed = flag.Uint64("seed", 0, "of TestRunnersUnderFire; 0: another one each time")

const (
	fireCallers = 8
	fireCalls   = 24               // of each caller, at most
	fireFor     = 12 * time.Second // after which no call is begun
)

// fire is a load on two gateways that claim slots of the same runners. Meanwhile the test kills runners, and cuts,
// slows down and blocks their connections.
type fire struct {
	t        *testing.T
	seed     uint64
	w        *world
	ledger   *ledger
	gateways [2]*rig.Gateway
	proxies  [2]*proxy
	over     atomic.Bool // new connections have no fault any more
	kills    atomic.Int64

	mu       sync.Mutex
	dice     *rand.Rand // for connections, whose order is not fixed
	answered map[string]*rig.Answer
}

// TestRunnersUnderFire: although connections break and runners are killed, an invocation runs at most once, exactly
// once if an answer says that it succeeded, and is settled once.
func TestRunnersUnderFire(t *testing.T) {
	f := lightFire(t)
	for mode, spec := range modes {
		function(t, f.gateways[0], mode, strings.TrimSuffix(spec, "}")+`, "max_concurrency": 4}`, f.ledger.script(`sleep "$1"; wc -c < "$2" > out.txt`+"\n"))
		trigger(t, f.gateways[0], mode, `{"function": "`+mode+`", "methods": ["POST"], "path": "/`+mode+`", "timeout": "20s", "results": ["out.txt"],
			"command": ["bash", "tool.sh", "{field:s}", "{file:in}"], "fields": [{"name": "s", "kind": "number", "default": "0"}, {"name": "in", "kind": "file", "required": true}]}`)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers, faults sync.WaitGroup
	faults.Go(func() { f.breakConnections(ctx) })
	end := time.Now().Add(fireFor)
	for i := range fireCallers {
		callers.Go(func() {
			dice := rand.New(rand.NewPCG(f.seed, uint64(i)))
			for n := 0; n < fireCalls && time.Now().Before(end); n++ {
				f.call(dice, i)
			}
		})
	}
	callers.Wait()
	cancel()
	faults.Wait()
	f.over.Store(true)
	f.check()
}

func lightFire(t *testing.T) *fire {
	f := &fire{t: t, seed: *fireSeed, answered: map[string]*rig.Answer{}}
	if f.seed == 0 {
		f.seed = rand.Uint64()
	}
	t.Logf("go test ./e2e -run %s -seed %d", t.Name(), f.seed)
	f.dice = rand.New(rand.NewPCG(f.seed, 1<<32))
	f.ledger = newLedger(t)
	store := testenv.MinIO(t)
	f.w = newWorld(t, append(s3(store), redisURL(testenv.StartRedis(t)), "DAVIT_RUNNER_GRACE=5s", "DAVIT_LOG_LEVEL=debug")...)
	for i := range f.gateways {
		address := freePort(t)
		f.proxies[i] = newProxy(t, address, f.planFault)
		f.gateways[i] = f.w.start("data"+strconv.Itoa(i), "DAVIT_RUNNER_ADDR="+address, "DAVIT_RUNNER_PUBLIC="+f.proxies[i].address)
	}
	return f
}

// planFault chooses the fault of a new connection.
func (f *fire) planFault() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := fault{after: -1, blocks: f.dice.IntN(6) == 0, delay: time.Duration(max(0, f.dice.IntN(9)-5)) * time.Millisecond}
	if f.dice.IntN(3) == 0 {
		m.after = 100 + f.dice.Int64N(1<<(6+f.dice.IntN(13)))
	}
	if f.over.Load() {
		return fault{after: -1}
	}
	return m
}

// breakConnections breaks some of the connections now and then until ctx ends.
func (f *fire) breakConnections(ctx context.Context) {
	dice := rand.New(rand.NewPCG(f.seed, 1<<33))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(100+dice.IntN(900)) * time.Millisecond):
			f.proxies[dice.IntN(2)].breakSome(func() bool { return dice.IntN(4) == 0 })
		}
	}
}

// kill kills a runner, as the kernel does when memory is short.
func (f *fire) kill(dice *rand.Rand) {
	pids := slices.DeleteFunc(f.w.runners(), func(pid int) bool { // a process that a runner has just forked has the runner's command line
		parent := int(statusKiB(pid, "PPid:"))
		return parent != f.gateways[0].Process.Pid && parent != f.gateways[1].Process.Pid
	})
	if len(pids) > 0 && syscall.Kill(pids[dice.IntN(len(pids))], syscall.SIGKILL) == nil {
		f.kills.Add(1)
	}
}

// call makes one random call, to one of the gateways and in any mode.
func (f *fire) call(dice *rand.Rand, caller int) {
	g := f.gateways[dice.IntN(2)]
	path := "/" + []string{"job", "standby", "warm"}[dice.IntN(3)]
	size, seconds, header := dice.IntN(3000), "0", http.Header{}
	killBefore, killAfter := dice.IntN(14) == 0, dice.IntN(14) == 0
	switch dice.IntN(7) {
	case 0:
		header.Set("Prefer", "respond-async")
	case 1:
		header.Set("Prefer", "wait=1")
		seconds = "1.5"
	case 2, 3:
		size = 100<<10 + dice.IntN(400<<10)
	case 4:
		seconds = "0.3"
	}
	if killBefore {
		size += 200 << 10 // larger than the gateway reads before a runner takes the call
	}
	body, contentType, err := rig.Form(rig.Part{Name: "s", Data: []byte(seconds)}, rig.Part{Name: "in", Filename: "in", Data: make([]byte, size)})
	if err != nil {
		f.t.Error(err)
		return
	}
	header.Set("Content-Type", contentType)
	var over chan struct{}
	if killAfter {
		over = make(chan struct{})
		defer close(over)
		victim := rand.New(rand.NewPCG(dice.Uint64(), 0))
		before := f.ledger.total()
		go f.killWhenMoreRun(victim, before, over)
	}
	var input io.Reader = body
	if killBefore {
		input = &interruptedBody{r: body, at: body.Len() / 2, then: func() { f.kill(dice) }}
	}
	a, err := g.Call(f.t.Context(), http.MethodPost, path, input, header)
	f.take(a, err, size, caller)
}

// killWhenMoreRun kills a runner as soon as another command runs.
func (f *fire) killWhenMoreRun(dice *rand.Rand, before int, over <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f.ledger.total() == before {
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
	f.kill(dice)
}

// interruptedBody is a body that calls then once, after at bytes.
type interruptedBody struct {
	r    io.Reader
	at   int
	then func()
}

func (h *interruptedBody) Read(p []byte) (int, error) {
	if h.at == 0 && h.then != nil {
		h.then()
		h.then = nil
	}
	if h.at > 0 {
		p = p[:min(len(p), h.at)]
	}
	n, err := h.r.Read(p)
	h.at -= min(n, h.at)
	return n, err
}

// take checks an answer and keeps it for check.
func (f *fire) take(a *rig.Answer, err error, size, caller int) {
	if a == nil {
		f.t.Errorf("caller %d got no answer: %v", caller, err)
		return
	}
	id := a.Header.Get("Davit-Invocation")
	switch {
	case err != nil && a.Status == http.StatusOK: // the runner was killed while it sent the result, and the caller noticed
	case err != nil:
		f.t.Errorf("%s was answered %d, and the body broke: %v", id, a.Status, err)
	case a.Status == http.StatusOK:
		if got := unzip(f.t, a.Body)["out.txt"]; got != strconv.Itoa(size)+"\n" {
			f.t.Errorf("%s counted %q, want %d", id, got, size)
		}
	case a.Status == http.StatusAccepted, a.Status == http.StatusServiceUnavailable, a.Status == http.StatusTooManyRequests, a.Status == http.StatusGatewayTimeout:
	default:
		f.t.Errorf("%s was answered %d: %.300s", id, a.Status, a.Body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if id != "" {
		f.answered[id] = a
	}
}

// check compares the answers with the records, and the records with the ledger and the metrics.
func (f *fire) check() {
	t := f.t
	records := f.records(f.gateways[0], slices.Sorted(maps.Keys(modes)))
	ends := f.ranOnce(records)
	statuses := map[int]int{}
	for id, a := range f.answered {
		statuses[a.Status]++
		f.agree(a, id, records)
	}
	for _, id := range f.ledger.ids() {
		if _, recorded := records[id]; !recorded {
			t.Errorf("%s ran and has no record", id)
		}
	}
	t.Logf("%d records %v, answers %v, %d runners killed, %d+%d connections cut, %d+%d blocked", len(records), ends, statuses,
		f.kills.Load(), f.proxies[0].cuts.Load(), f.proxies[1].cuts.Load(), f.proxies[0].blocked.Load(), f.proxies[1].blocked.Load())
	if f.kills.Load() == 0 || f.proxies[0].cuts.Load()+f.proxies[1].cuts.Load() == 0 {
		t.Error("too few faults happened")
	}
	f.settledOnce(len(records))
	f.serves(slices.Sorted(maps.Keys(modes)))
}

// records waits until all records of the functions are final, and returns them.
func (f *fire) records(g *rig.Gateway, functions []string) map[string]record {
	records := map[string]record{}
	testenv.EventuallyWithin(f.t, 2*wait, "all records are final", func() bool {
		for _, function := range functions {
			for _, r := range list(f.t, g, function) {
				if records[r.ID] = r; !final(r) {
					return false
				}
			}
		}
		return true
	})
	return records
}

// ranOnce compares the records with the ledger, and counts how they ended.
func (f *fire) ranOnce(records map[string]record) (ends map[string]int) {
	ends = map[string]int{}
	for id, r := range records {
		ends[r.State+" "+r.reason()]++
		if ran := f.ledger.count(id); ran > 1 || r.State == "succeeded" && ran != 1 {
			f.t.Errorf("%s %s %s: ran %d times", id, r.State, r.reason(), ran)
		}
	}
	return ends
}

// serves fails the test unless every gateway serves every function.
func (f *fire) serves(functions []string) {
	for _, function := range functions {
		for _, g := range f.gateways {
			status(f.t, post(f.t, g, "/"+function, nil, rig.Part{Name: "in", Filename: "in", Data: []byte("after")}), http.StatusOK)
		}
	}
}

func final(r record) bool {
	return r.State == "succeeded" || r.State == "failed" || r.State == "cancelled"
}

// agree fails the test unless the record agrees with the answer that the caller got.
func (f *fire) agree(a *rig.Answer, id string, records map[string]record) {
	r, recorded := records[id]
	reason := a.Header.Get("Davit-Reason")
	switch {
	case !recorded:
		f.t.Errorf("%s was answered %d and has no record", id, a.Status)
	case a.Status == http.StatusOK && r.State != "succeeded", reason != "" && r.reason() != reason:
		f.t.Errorf("%s was answered %d %s, its record is %+v, reason %q", id, a.Status, reason, r, r.reason())
	}
}

// settledOnce waits until the counts of all gateways of begun and of final invocations equal the number of records.
func (f *fire) settledOnce(records int) {
	var accepted, made, inFlight float64
	defer func() {
		if f.t.Failed() {
			f.t.Logf("accepted %g, final %g, in flight %g, records %d", accepted, made, inFlight, records)
		}
	}()
	testenv.EventuallyWithin(f.t, wait, "the metrics agree with the records", func() bool {
		accepted, made, inFlight = 0, 0, 0
		for _, g := range f.gateways {
			a, b, c := balance(f.t, g)
			accepted, made, inFlight = accepted+a, made+b, inFlight+c
		}
		return accepted == float64(records) && made == accepted && inFlight == 0
	})
}
