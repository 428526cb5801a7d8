package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestOneInvocationIsOneProcess(t *testing.T) {
	b := newBench(t, openDir(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.Launch(t.Context(), revision("stay"), "inv"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.Running(revision("").Ref(), faas.StartJob); n != 1 {
		t.Fatalf("%d processes run", n)
	}
	b.reports(1)
	if err := errors.Join(b.Stop(t.Context(), "inv"), b.Stop(t.Context(), "inv"), b.Stop(t.Context(), "other")); err != nil {
		t.Fatal(err)
	}
	if err := b.Launch(t.Context(), revision("stay"), "inv"); err != nil { // whether the first is gone or not
		t.Fatal(err)
	}
	if e := b.exit(0); e.Invocation != "" {
		t.Errorf("the exit of a runner that was not wanted is the invocation's: %+v", e)
	}
	b.reports(1)
	if n := b.Running(revision("").Ref(), faas.StartJob); n != 1 {
		t.Fatalf("%d processes run", n)
	}
	b.stop()
	if e := b.exit(1); e.Invocation != "inv" {
		t.Errorf("exit %+v", e)
	}
}

func TestScaleStartsWhatIsMissing(t *testing.T) {
	b := newBench(t, openDir(t))
	rev := revision("stay")
	rev.Spec.Warm = &faas.Warm{Max: 5, Concurrency: 4, MaxCalls: 7, MaxAge: faas.Duration(time.Hour)}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := b.Scale(t.Context(), rev, faas.StartWarm, 3); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(b.Scale(t.Context(), rev, faas.StartStandby, 1), b.Scale(t.Context(), rev, faas.StartWarm, 1)); err != nil {
		t.Fatal(err)
	}
	if warm, standby := b.Running(rev.Ref(), faas.StartWarm), b.Running(rev.Ref(), faas.StartStandby); warm != 3 || standby != 1 {
		t.Fatalf("%d warm and %d standby run", warm, standby)
	}
	all := strings.Join(b.reports(4), "\n")
	if n := strings.Count(all, `"slots":4,"max_calls":7,"max_age":"1h"`); n != 3 {
		t.Fatalf("%d warm runners know their bounds:\n%s", n, all)
	}
	runners := regexp.MustCompile(`"runner":"(local-[^"]+)"`).FindAllStringSubmatch(all, -1)
	names := map[string]bool{}
	for _, r := range runners {
		names[r[1]] = true
	}
	if len(names) != 4 {
		t.Fatalf("runners %v", runners)
	}
}

// TestRetire checks that Retire ends a revision's standby and warm runners that have not dialled in, and no other
// runners.
func TestRetire(t *testing.T) {
	b := newBench(t, openDir(t))
	rev, other := revision("stay"), revision("stay")
	other.Number = 4
	err := errors.Join(b.Scale(t.Context(), rev, faas.StartWarm, 1), b.Launch(t.Context(), rev, "inv"), b.Scale(t.Context(), other, faas.StartWarm, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, report := range b.reports(3) {
		b.Joined(faas.RunnerID(regexp.MustCompile(`"runner":"(local-warm[^"]+|)`).FindStringSubmatch(report + `"runner":"`)[1]))
	}
	if err := errors.Join(b.Scale(t.Context(), rev, faas.StartWarm, 2), b.Scale(t.Context(), rev, faas.StartStandby, 1)); err != nil {
		t.Fatal(err)
	}
	b.reports(5)
	b.Retire(rev.Ref())
	b.Retire(rev.Ref())
	starts := map[faas.Start]bool{}
	for i := range 2 {
		e := b.exit(i)
		starts[e.Start] = true
		if e.Reason != "" || e.Ref != rev.Ref() {
			t.Errorf("exit %+v", e)
		}
	}
	if !starts[faas.StartWarm] || !starts[faas.StartStandby] {
		t.Errorf("what ended was %v", starts)
	}
	if w, s, j := b.Running(rev.Ref(), faas.StartWarm), b.Running(rev.Ref(), faas.StartStandby), b.Running(rev.Ref(), faas.StartJob); w != 1 || s != 0 || j != 1 || b.Running(other.Ref(), faas.StartWarm) != 1 {
		t.Errorf("%d warm, %d standby and %d job runners are left", w, s, j)
	}
}

func TestExitsSayWhy(t *testing.T) {
	b := newBench(t, openDir(t))
	for i, c := range []struct {
		act    string
		reason faas.Reason
		detail string
	}{
		{"end", "", ""},
		{"fail", faas.ReasonRunnerLost, "the runner ended before it dialled in: exit status 9: the last words"},
		{"start fails", faas.ReasonStartFailed, "exit status 3: port 5000 never answered"},
	} {
		if err := b.Launch(t.Context(), revision(c.act), faas.InvocationID(c.act)); err != nil {
			t.Fatal(err)
		}
		e := b.exit(i)
		if e.Reason != c.reason || e.Detail != c.detail || string(e.Invocation) != c.act || e.Runner == "" {
			t.Errorf("%s: %+v", c.act, e)
		}
	}
	testenv.Eventually(b.t, "their directories are gone", func() bool {
		left, _ := filepath.Glob(filepath.Join(b.dir, "runners", "*", "local-*"))
		return len(left) == 0
	})
	b.stop()
	if n := len(b.exits); n != 3 {
		t.Fatalf("%d exits were told", n)
	}
}

func TestARunnerThatDoesNotStartIsAnError(t *testing.T) {
	b := newBench(t, openDir(t))
	if err := os.WriteFile(b.binary, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Launch(t.Context(), revision("stay"), "inv"); err == nil || !strings.Contains(err.Error(), "exec format error") {
			t.Fatalf("launched: %v", err)
		}
	}
	if err := b.Scale(t.Context(), revision("stay"), faas.StartWarm, 2); err == nil {
		t.Fatal("scaled")
	}
	if n := b.Running(revision("").Ref(), faas.StartWarm) + b.Running(revision("").Ref(), faas.StartJob); n != 0 {
		t.Fatalf("%d run", n)
	}
	b.stop()
	if len(b.exits) > 0 {
		t.Fatalf("exits of processes that never were: %+v", b.exits)
	}
}

func TestWhatAKilledRunnerLeavesIsKilled(t *testing.T) {
	b := newBench(t, openDir(t))
	if err := b.Launch(t.Context(), revision("stay"), "bystander"); err != nil {
		t.Fatal(err)
	}
	if err := b.Launch(t.Context(), revision("leave"), "inv"); err != nil {
		t.Fatal(err)
	}
	e := b.exit(0)
	if e.Reason != faas.ReasonRunnerLost || !strings.Contains(e.Detail, "signal: killed: left ") {
		t.Fatalf("exit %+v", e)
	}
	_, pids, _ := strings.Cut(e.Detail, "left ")
	if len(strings.Fields(pids)) != 2 {
		t.Fatalf("it left %q", pids)
	}
	for _, pid := range strings.Fields(pids) {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("process %s lives", pid)
		}
	}
	if b.Running(revision("").Ref(), faas.StartJob) != 1 {
		t.Error("another runner was killed with it")
	}
}

func TestAStubbornRunnerIsKilled(t *testing.T) {
	b := newBench(t, openDir(t))
	if err := b.Launch(t.Context(), revision("stubborn"), "inv"); err != nil {
		t.Fatal(err)
	}
	b.reports(1)
	b.mu.Lock()
	p := b.jobs["inv"]
	b.mu.Unlock()
	p.stop(50 * time.Millisecond)
	if e := b.exit(0); e.Reason != faas.ReasonRunnerLost || !strings.Contains(e.Detail, "the runner was stopped: signal: killed") {
		t.Fatalf("exit %+v", e)
	}
}

func TestLaunchEndsWithItsContext(t *testing.T) {
	b := newBench(t, openDir(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := fmt.Errorf("no longer wanted")
	cancel(cause)
	rev := revision("stay")
	if err := b.Prepare(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	p, mine, err := b.reserve(rev, faas.StartJob, "inv")
	if err != nil || !mine {
		t.Fatal(err)
	}
	defer b.begin(p, rev)
	if err := b.Launch(ctx, rev, "inv"); !errors.Is(err, cause) {
		t.Fatalf("launched: %v", err)
	}
}
