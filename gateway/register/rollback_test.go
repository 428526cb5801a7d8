package register_test

import (
	"strings"
	"testing"

	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestRollbackIsLiveUnderItsOwnNumberAndStaysSo(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "one")
		g.put(t, "f", "two")
		g.builder.fails[3] = "broken"
		g.put(t, "f", "three")
		if err := g.Rollback(t.Context(), "f", 1); err != nil || g.live(t, "f") != 1 {
			t.Fatalf("rolled back to %d, %v", g.live(t, "f"), err)
		}
		wantKind(t, g.Rollback(t.Context(), "f", 3), faas.Conflict)
		wantKind(t, g.Rollback(t.Context(), "f", 9), faas.NotFound)
		wantKind(t, g.Rollback(t.Context(), "g", 1), faas.NotFound)
		if g.live(t, "f") != 1 {
			t.Fatal("a refused rollback changed something")
		}
		g.stop()

		s.prefix = "emptied:"
		g = s.start(t, 0)
		if g.live(t, "f") != 1 {
			t.Fatalf("restored to revision %d", g.live(t, "f"))
		}
		if rev := g.put(t, "f", "four"); rev.Number != 4 || g.live(t, "f") != 4 {
			t.Fatalf("the next revision is %d, live is %d", rev.Number, g.live(t, "f"))
		}
	})
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
		testenv.Eventually(t, "its first runner is requested", func() bool { return g.readier.times() == 5 })
		if rev := g.put(t, "f", "three"); rev.State != faas.RevisionReady || g.live(t, "f") != 3 {
			t.Fatalf("during the rollback: %+v, live is %d", rev, g.live(t, "f"))
		}
		close(hold)
		if err := <-back; err != nil || g.live(t, "f") != 1 {
			t.Fatalf("rolled back to %d, %v", g.live(t, "f"), err)
		}
		g.nothingKept(t)
		before := g.readier.times()
		if err := g.Rollback(t.Context(), "f", 1); err != nil {
			t.Errorf("to the live revision: %v", err)
		}
		wantKind(t, g.Rollback(t.Context(), "f", 9), faas.NotFound)
		if again := g.readier.times() - before; again > 0 {
			t.Errorf("%d runners were requested though nothing changed", again)
		}
	})
}
