package register_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// begin registers a source without waiting for its build.
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
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (g *gateway) nothingKept(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "all runners are released", func() bool { return len(g.readier.keeps()) == 0 })
}

func TestARevisionIsLiveOnceItsFirstRunnerIsReady(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.readier.done = func(ref faas.RevisionRef) {
			if rev, err := g.catalog.Live("f"); err != nil || rev.Number < ref.Number {
				t.Errorf("the runners of %s were released before it was served", ref)
			}
		}
		g.put(t, "f", "one")
		hold := make(chan struct{})
		g.readier.hold = map[faas.RevisionNumber]chan struct{}{2: hold}
		second := g.begin(t, "two")
		testenv.Eventually(t, "its first runner is requested", func() bool { return g.readier.times() == 2 })
		if rev, err := g.registry.FindRevision(t.Context(), second); err != nil || rev.State != faas.RevisionBuilding || g.live(t, "f") != 1 {
			t.Fatalf("without a runner: %+v, %v, live is %d", rev, err, g.live(t, "f"))
		}
		if log := g.log(t, second); !strings.Contains(log, "starting one of sha256:") {
			t.Errorf("the log says %q", log)
		}

		// It delays neither the next build of its function nor builds of other functions.
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
			t.Errorf("after runners were unavailable: %+v, live is %d after %d tries", rev, g.live(t, "f"), g.readier.times())
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
	testenv.Eventually(t, "its first runner is requested", func() bool { return a.readier.times() == 2 })
	a.stop()
	b := s.start(t, 0)
	rev, err := b.WaitReady(t.Context(), ref, 10*time.Second)
	if err != nil || rev.State != faas.RevisionReady {
		t.Fatalf("on the other gateway: %+v, %v", rev, err)
	}
	testenv.Eventually(t, "it is live", func() bool { return b.live(t, "f") == 2 })
	b.nothingKept(t)
}

func TestBuildOfADeadGatewayIsTakenUp(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		for _, end := range []string{"stopped", "killed"} {
			t.Run(end, func(t *testing.T) {
				a := s.start(t, 0)
				a.builder.hold = make(chan struct{})
				r, err := a.PutSource(t.Context(), faas.FunctionName(end), faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
				if err != nil {
					t.Fatal(err)
				}
				testenv.Eventually(t, "the build runs", func() bool { return len(a.builder.builds()) == 1 })
				if end == "killed" {
					a.mortal.kill()
					a.lingers = true
				}
				a.stop()
				testenv.Eventually(t, "the gateway counts as dead", func() bool {
					ids, err := s.redis(t).LiveGatewayIDs(t.Context())
					return err == nil && !slices.Contains(ids, a.id)
				})
				b := s.start(t, 0)
				rev, err := b.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second)
				if err != nil || rev.State != faas.RevisionReady {
					t.Fatalf("revision %+v, %v", rev, err)
				}
				b.stop()
			})
		}
	})
}

func TestBuildOfALiveGatewayIsLeftAlone(t *testing.T) {
	s := newEmbeddedSite(t)
	a := s.start(t, 0)
	a.builder.hold = make(chan struct{})
	r, err := a.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the build runs", func() bool { return len(a.builder.builds()) == 1 })
	b := s.start(t, 0)
	b.put(t, "other", "x") // by then b has read the builds of the store
	close(a.builder.hold)
	if rev, err := b.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second); err != nil || rev.State != faas.RevisionReady {
		t.Fatalf("revision %+v, %v", rev, err)
	}
	if slices.Contains(b.builder.builds(), r.Revision.Ref()) {
		t.Fatal("two gateways built one revision")
	}
}

func TestFailedBuildNeverGoesLive(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "good")
		g.builder.fails[2] = "no such thing"
		if rev := g.put(t, "f", "bad"); rev.State != faas.RevisionFailed || rev.Detail != "no such thing" {
			t.Fatalf("revision %+v", rev)
		}
		if g.live(t, "f") != 1 {
			t.Fatal("the good revision is no longer live")
		}
		if log := buildLog(t, g, faas.RevisionRef{Function: "f", Number: 2}); !strings.Contains(log, "failed: no such thing") {
			t.Fatalf("build log %q", log)
		}
		if g.put(t, "f", "good again"); g.live(t, "f") != 3 {
			t.Fatalf("live is %d", g.live(t, "f"))
		}
	})
}

func TestBuildsOfOneFunctionComeOneByOne(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	g.builder.hold = make(chan struct{})
	var refs []faas.RevisionRef
	for range 3 {
		r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, r.Revision.Ref())
	}
	other, err := g.PutSource(t.Context(), "other", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the builds of two functions run", func() bool { return len(g.builder.builds()) == 2 })
	if got := g.builder.builds(); !slices.Contains(got, refs[0]) || !slices.Contains(got, other.Revision.Ref()) {
		t.Fatalf("builds %v", got)
	}
	close(g.builder.hold)
	if _, err := g.WaitReady(t.Context(), refs[2], 10*time.Second); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(g.builder.builds(), func(r faas.RevisionRef) bool { return r.Function != "f" })
	if !slices.Equal(got, refs) {
		t.Fatalf("the order of builds is %v", got)
	}
}

func TestBuildHasALimitOfTime(t *testing.T) {
	s := newEmbeddedSite(t)
	s.buildTimeout = time.Millisecond
	g := s.start(t, 0)
	g.builder.hold = make(chan struct{})
	r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	rev, err := g.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second)
	if err != nil || rev.State != faas.RevisionFailed || !strings.Contains(rev.Detail, "longer than") {
		t.Fatalf("revision %+v, %v", rev, err)
	}
}
