package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// tellsRevision is a command that prints its revision and the process id of its runner.
const tellsRevision = `echo "$DAVIT_REVISION $PPID" > out.txt`

const tellsTrigger = `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh"], "results": ["out.txt"], "response": "file"}`

// notBuilt fails the test unless a registration failed with that reason, and the words in the log that the answer has.
func notBuilt(t *testing.T, a *rig.Answer, reason, words string) {
	t.Helper()
	p := decode[struct {
		Kind   string `json:"kind"`
		Detail string `json:"detail"`
		Tail   string `json:"log_tail"`
	}](t, a.Body)
	if a.Status != http.StatusUnprocessableEntity || p.Kind != "build_failed" || !strings.Contains(p.Detail, reason) || !strings.Contains(p.Tail, words) {
		t.Errorf("status %d, want 422 with %q and %q: %s", a.Status, reason, words, a.Body)
	}
}

// liveness lists the revisions that were live, in order. The last may not be live yet.
type liveness struct {
	mu  sync.Mutex
	all []int
}

func (l *liveness) next(revision int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, revision)
}

// mark returns the index of the revision that was certainly live last: a call made now gets it or a later one.
func (l *liveness) mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, len(l.all)-2)
}

func (l *liveness) since(mark int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all[mark:])
}

// load calls /t of the gateways until it is stopped. Each answer must be 200 and come from a revision that was live.
type load struct {
	live     liveness
	answered atomic.Int64
	mu       sync.Mutex
	runners  map[int][]string // process ids, by revision
}

// begin starts the callers. stop ends them.
func (l *load) begin(t *testing.T, gateways ...*rig.Gateway) (stop func()) {
	t.Helper()
	l.runners = map[int][]string{}
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				l.call(t, gateways[i%len(gateways)])
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); callers.Wait() })
}

func (l *load) call(t *testing.T, g *rig.Gateway) {
	mark := l.live.mark()
	a, err := g.Call(t.Context(), http.MethodGet, "/t", nil, nil)
	if err != nil || a.Status != http.StatusOK {
		t.Errorf("call %d: %+v, %v", l.answered.Load(), a, err)
		return
	}
	var revision int
	var pid string
	if _, err := fmt.Sscan(string(a.Body), &revision, &pid); err != nil || !slices.Contains(l.live.since(mark), revision) {
		t.Errorf("call %d was answered %q by a revision that was not live, %v: %v", l.answered.Load(), a.Body, l.live.since(mark), err)
	}
	l.mu.Lock()
	if !slices.Contains(l.runners[revision], pid) {
		l.runners[revision] = append(l.runners[revision], pid)
	}
	l.mu.Unlock()
	l.answered.Add(1)
}

// served waits until more calls have been answered.
func (l *load) served(t *testing.T) {
	t.Helper()
	before := l.answered.Load()
	testenv.EventuallyWithin(t, wait, "calls are answered", func() bool { return t.Failed() || l.answered.Load() > before+20 })
}

func rollback(t *testing.T, g *rig.Gateway, revision int) *rig.Answer {
	t.Helper()
	return admin(t, g, http.MethodPost, "/v1/functions/f/rollback", `{"revision": `+strconv.Itoa(revision)+`}`)
}

// children counts a gateway's child processes, which are its runners.
func children(g *rig.Gateway) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	n := 0
	for _, stat := range stats {
		b, _ := os.ReadFile(stat)
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(g.Process.Pid) {
			n++
		}
	}
	return n
}

// TestSwitchUnderCalls: five revisions of a warm function are registered and rolled back under load, and no call fails.
func TestSwitchUnderCalls(t *testing.T) {
	g := newWorld(t).start("data")
	spec := `{"mode": "warm", "warm": {"min": 0, "max": 2, "concurrency": 2, "idle": "30s"}}`
	function(t, g, "f", spec, tool(tellsRevision))
	trigger(t, g, "t", tellsTrigger)
	l := &load{}
	l.live.next(1)
	stop := l.begin(t, g)
	defer stop()
	for revision := 2; revision <= 6; revision++ {
		l.served(t)
		l.live.next(revision)
		function(t, g, "f", spec, tool(tellsRevision))
	}
	for revision := 5; revision >= 1; revision-- {
		l.served(t)
		l.live.next(revision)
		status(t, rollback(t, g, revision), http.StatusOK)
	}
	l.served(t)
	stop()
	for revision := 1; revision <= 6; revision++ {
		if len(l.runners[revision]) == 0 {
			t.Errorf("revision %d answered no call", revision)
		}
	}
	testenv.EventuallyWithin(t, wait, "the old revisions' runners have ended", func() bool { return children(g) <= 2 })
}

// TestBrokenRevisionStaysOut: a revision whose start process fails does not become live, neither by registration nor by
// rollback. The old revision goes on serving, and no runner of the broken one is left.
func TestBrokenRevisionStaysOut(t *testing.T) {
	g := newWorld(t).start("data")
	there := filepath.Join(bin, "model-of-"+t.Name())
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files := tool(tellsRevision)
	files["start.sh"] = `[ -e ` + there + ` ] || { echo the model is not there >&2; exit 7; }; touch "$DAVIT_SHARED/ready"; exec sleep 6471`
	files["hang.sh"] = `trap "" TERM; echo still loading; sleep 6472`
	spec := func(script, timeout string) string {
		return `{"mode": "warm", "timeout": "` + timeout + `", "warm": {"min": 0, "max": 1, "idle": "30s"},
			"start": {"command": ["sh", "` + script + `"], "ready": {"file": "ready"}}}`
	}
	serves := func(revision string) {
		t.Helper()
		a := get(t, g, "/t", nil)
		status(t, a, http.StatusOK)
		if !strings.HasPrefix(string(a.Body), revision+" ") {
			t.Fatalf("the call was answered %q, want revision %s", a.Body, revision)
		}
	}
	function(t, g, "f", spec("start.sh", "20s"), files)
	trigger(t, g, "t", tellsTrigger)
	serves("1")
	function(t, g, "f", `{"mode": "warm", "warm": {"min": 1, "max": 1}}`, files)
	serves("2")
	testenv.EventuallyWithin(t, wait, "the first revision's runner has ended", func() bool { return children(g) == 1 })

	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	notBuilt(t, register(t, g, "f", spec("start.sh", "20s"), files), "exit code 7; correct start.command, or what it runs. Register it again", "the model is not there")
	notBuilt(t, register(t, g, "f", spec("hang.sh", "1s"), files), "revision 2 stays live", "still loading")
	a := rollback(t, g, 1)
	if a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "revision 2 stays live") || !strings.Contains(string(a.Body), "the model is not there") {
		t.Errorf("a rollback to a revision that cannot start: %d %s", a.Status, a.Body)
	}
	serves("2")
	log := admin(t, g, http.MethodGet, "/v1/functions/f/revisions/3/log", "")
	if output := string(log.Body); !strings.Contains(output, "starting the first runner") || !strings.Contains(output, "failed: its start process failed") {
		t.Errorf("the build log is %q", output)
	}
	testenv.EventuallyWithin(t, wait, "nothing is left of the broken revisions", func() bool {
		return children(g) == 1 && len(processes("sleep", "6472")) == 0 && len(processes("sleep", "6471")) == 0
	})
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	status(t, rollback(t, g, 1), http.StatusOK)
	serves("1")
}

// TestSwitchOnAllGateways: a gateway that does not know a new revision yet does not end its first runner, which starts
// slowly and then serves both gateways.
func TestSwitchOnAllGateways(t *testing.T) {
	a, b, _ := twoGateways(t)
	files := tool(tellsRevision)
	files["start.sh"] = `sleep 3; touch "$DAVIT_SHARED/ready"; exec sleep 600`
	spec := `{"mode": "warm", "warm": {"min": 0, "max": 1, "concurrency": 4}, "start": {"command": ["sh", "start.sh"], "ready": {"file": "ready"}}}`
	function(t, a, "f", spec, files)
	trigger(t, a, "t", tellsTrigger)
	l := &load{}
	l.live.next(1)
	stop := l.begin(t, a, b)
	defer stop()
	l.served(t)
	l.live.next(2)
	function(t, b, "f", spec, files)
	l.served(t)
	l.live.next(1)
	status(t, rollback(t, a, 1), http.StatusOK)
	l.served(t)
	stop()
	if len(l.runners[2]) != 1 {
		t.Errorf("revision 2 was served by the runners %v, want one", l.runners[2])
	}
}
