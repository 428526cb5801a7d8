package register_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// fakeReadier finds a runner ready at once, or when it is let, and knows what is kept.
type fakeReadier struct {
	mu    sync.Mutex
	fails map[faas.RevisionNumber][]error       // one after the other, then it works
	hold  map[faas.RevisionNumber]chan struct{} // waits until it is closed
	asked []faas.RevisionRef
	kept  map[faas.RevisionRef]int
	done  func(ref faas.RevisionRef) // called first when it lets go
}

func (f *fakeReadier) Ready(ctx context.Context, rev *faas.Revision, log io.Writer) (func(), error) {
	ref := rev.Ref()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, ref)
	_, _ = io.WriteString(log, "starting one of "+rev.Image+"\n")
	if errs := f.fails[ref.Number]; len(errs) > 0 {
		f.fails[ref.Number] = errs[1:]
		return nil, errs[0]
	}
	if hold := f.hold[ref.Number]; hold != nil {
		f.mu.Unlock()
		select {
		case <-hold:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if f.kept == nil {
		f.kept = map[faas.RevisionRef]int{}
	}
	f.kept[ref]++
	return func() { f.letGo(ref) }, nil
}

func (f *fakeReadier) letGo(ref faas.RevisionRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done != nil {
		f.done(ref)
	}
	if f.kept[ref]--; f.kept[ref] == 0 {
		delete(f.kept, ref)
	}
}

func (f *fakeReadier) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fakeReadier) keeps() map[faas.RevisionRef]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.kept)
}

// begin registers a source and does not wait for its build.
func (g *gateway) begin(t *testing.T, content string) faas.RevisionRef {
	t.Helper()
	r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{Command: faas.Command{"./app.sh"}}, bytes.NewReader(tgz(t, content)))
	if err != nil {
		t.Fatal(err)
	}
	return r.Revision.Ref()
}

func (g *gateway) log(t *testing.T, ref faas.RevisionRef) string {
	t.Helper()
	r, err := g.BuildLog(t.Context(), ref, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (g *gateway) nothingKept(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "no runner is kept", func() bool { return len(g.readier.keeps()) == 0 })
}

func TestARevisionIsLiveOnceItsFirstRunnerIsReady(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.readier.done = func(ref faas.RevisionRef) {
			if rev, err := g.catalog.Live("f"); err != nil || rev.Number < ref.Number {
				t.Errorf("the runners of %s were let go before it was served", ref)
			}
		}
		g.put(t, "f", "one")
		hold := make(chan struct{})
		g.readier.hold = map[faas.RevisionNumber]chan struct{}{2: hold}
		second := g.begin(t, "two")
		testenv.Eventually(t, "its first runner is asked for", func() bool { return g.readier.times() == 2 })
		if rev, err := g.registry.FindRevision(t.Context(), second); err != nil || rev.State != faas.RevisionBuilding || g.live(t, "f") != 1 {
			t.Fatalf("without a runner: %+v, %v, live is %d", rev, err, g.live(t, "f"))
		}
		if log := g.log(t, second); !strings.Contains(log, "starting one of sha256:") {
			t.Errorf("the log says %q", log)
		}

		// It holds up nobody: neither the next of its function, nor builds of others.
		if rev := g.put(t, "f", "three"); rev.State != faas.RevisionReady || g.live(t, "f") != 3 {
			t.Fatalf("the next one: %+v, live is %d", rev, g.live(t, "f"))
		}
		g.put(t, "other", "one")
		g.put(t, "another", "one")
		close(hold)
		rev, err := g.WaitReady(t.Context(), second, 10*time.Second)
		if err != nil || rev.State != faas.RevisionReady || g.live(t, "f") != 3 {
			t.Fatalf("late: %+v, %v, live is %d", rev, err, g.live(t, "f"))
		}
		g.nothingKept(t)
	})
}

func TestARevisionWithoutARunnerDoesNotGoLive(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "one")
		broken := &faas.Error{Kind: faas.BuildFailed, Detail: "its start process failed: exit code 7; correct it", LogTail: "no such model"}
		g.readier.fails = map[faas.RevisionNumber][]error{2: {broken}}
		rev := g.put(t, "f", "two")
		if rev.State != faas.RevisionFailed || !strings.Contains(rev.Detail, "exit code 7; correct it. Register it again") || !strings.HasSuffix(rev.Detail, "revision 1 stays live") {
			t.Errorf("failed as %+v", rev)
		}
		if log := g.log(t, rev.Ref()); !strings.Contains(log, "said last:\nno such model\n") || !strings.Contains(log, "failed: "+rev.Detail) {
			t.Errorf("the log says %q", log)
		}
		if g.live(t, "f") != 1 || g.readier.times() != 2 {
			t.Errorf("live is %d after %d tries", g.live(t, "f"), g.readier.times())
		}
		g.nothingKept(t)

		g.readier.fails[3] = []error{faas.Errorf(faas.Unavailable, "not now")}
		if rev := g.put(t, "f", "three"); rev.State != faas.RevisionReady || g.live(t, "f") != 3 || g.readier.times() != 4 {
			t.Errorf("after what was away is back: %+v, live is %d after %d tries", rev, g.live(t, "f"), g.readier.times())
		}
		g.stop()
		s.prefix = "emptied:"
		if again := s.start(t, 0); again.live(t, "f") != 3 || again.readier.times() > 0 {
			t.Errorf("restored to revision %d after %d tries", again.live(t, "f"), again.readier.times())
		}
	})
}

func TestAFirstRunnerHasTheTimeOfTheBuild(t *testing.T) {
	s := newEmbeddedSite(t)
	s.buildTimeout = 200 * time.Millisecond
	g := s.start(t, 0)
	g.readier.hold = map[faas.RevisionNumber]chan struct{}{1: make(chan struct{})}
	if rev := g.put(t, "f", "one"); rev.State != faas.RevisionFailed || !strings.Contains(rev.Detail, "longer than 200ms") {
		t.Errorf("failed as %+v", rev)
	}
	g.nothingKept(t)
}

func TestAGatewayThatStopsLeavesTheFirstRunnerToAnother(t *testing.T) {
	s := newEmbeddedSite(t)
	a := s.start(t, 0)
	a.put(t, "f", "one")
	a.readier.hold = map[faas.RevisionNumber]chan struct{}{2: make(chan struct{})}
	ref := a.begin(t, "two")
	testenv.Eventually(t, "its first runner is asked for", func() bool { return a.readier.times() == 2 })
	a.stop()
	b := s.start(t, 0)
	rev, err := b.WaitReady(t.Context(), ref, 10*time.Second)
	if err != nil || rev.State != faas.RevisionReady {
		t.Fatalf("on the next gateway: %+v, %v", rev, err)
	}
	testenv.Eventually(t, "it is live", func() bool { return b.live(t, "f") == 2 })
	b.nothingKept(t)
}

func TestRollbackWaitsForTheFirstRunner(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "one")
		g.put(t, "f", "two")
		broken := &faas.Error{Kind: faas.BuildFailed, Detail: "its start process failed", LogTail: "no such model"}
		g.readier.fails = map[faas.RevisionNumber][]error{1: {broken, faas.Errorf(faas.Unavailable, "not now")}}
		e := problem(t, g.Rollback(t.Context(), "f", 1), faas.Conflict)
		if !strings.Contains(e.Detail, "revision 2 stays live: its start process failed") || e.LogTail != "no such model" {
			t.Errorf("refused with %+v", e)
		}
		wantKind(t, g.Rollback(t.Context(), "f", 1), faas.Unavailable)
		if g.live(t, "f") != 2 {
			t.Fatalf("live is %d", g.live(t, "f"))
		}

		hold := make(chan struct{})
		g.readier.hold = map[faas.RevisionNumber]chan struct{}{1: hold}
		back := make(chan error, 1)
		go func() { back <- g.Rollback(t.Context(), "f", 1) }()
		testenv.Eventually(t, "its first runner is asked for", func() bool { return g.readier.times() == 5 })
		if rev := g.put(t, "f", "three"); rev.State != faas.RevisionReady || g.live(t, "f") != 3 {
			t.Fatalf("beside the rollback: %+v, live is %d", rev, g.live(t, "f"))
		}
		close(hold)
		if err := <-back; err != nil || g.live(t, "f") != 1 {
			t.Fatalf("rolled back to %d, %v", g.live(t, "f"), err)
		}
		g.nothingKept(t)
		before := g.readier.times()
		if err := g.Rollback(t.Context(), "f", 1); err != nil {
			t.Errorf("to what is live: %v", err)
		}
		wantKind(t, g.Rollback(t.Context(), "f", 9), faas.NotFound)
		if again := g.readier.times() - before; again > 0 {
			t.Errorf("%d runners were asked for where nothing changed", again)
		}
	})
}
