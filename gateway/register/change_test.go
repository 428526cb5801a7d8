package register_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestDeletionLeavesATombstoneAndNumbersGoOn(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "one")
		g.put(t, "f", "two")
		g.putTrigger(t, "t", "f", "/t")
		old, err := g.catalog.Live("f")
		if err != nil {
			t.Fatal(err)
		}

		e := problem(t, g.DeleteFunction(t.Context(), "f", false), faas.Conflict)
		if !strings.Contains(e.Detail, "t; delete") {
			t.Fatalf("the conflict says %q", e.Detail)
		}
		if g.live(t, "f") != 2 || len(g.keys(t, "functions/f/deleted.json")) > 0 {
			t.Fatal("a refused deletion left traces")
		}
		if err := g.DeleteFunction(t.Context(), "f", true); err != nil {
			t.Fatal(err)
		}
		_, err = g.catalog.Live("f")
		wantKind(t, err, faas.NotFound)
		_, err = g.catalog.Match("GET", "/t")
		wantKind(t, err, faas.NotFound)
		if rev, err := g.catalog.Revision(t.Context(), old.Ref()); err != nil || rev.Number != 2 {
			t.Fatalf("running calls do not find their revision: %v", err)
		}
		if keys := g.keys(t, ""); !slices.Equal(keys, []string{"functions/f/deleted.json", "triggers/t.deleted.json"}) {
			t.Fatalf("the store holds %q", keys)
		}
		wantKind(t, g.DeleteFunction(t.Context(), "f", true), faas.NotFound)
		wantKind(t, g.DeleteTrigger(t.Context(), "t"), faas.NotFound)

		if rev := g.put(t, "f", "three"); rev.Number != 3 {
			t.Fatalf("after the deletion comes revision %d", rev.Number)
		}
		g.putTrigger(t, "t", "f", "/t")
		g.stop()

		s.prefix = "emptied:" // as if Redis had lost everything
		g = s.start(t, 0)
		if g.live(t, "f") != 3 {
			t.Fatalf("restored to revision %d", g.live(t, "f"))
		}
		if _, err := g.catalog.Match("GET", "/t"); err != nil {
			t.Fatal(err)
		}
		_, err = g.registry.FindRevision(t.Context(), faas.RevisionRef{Function: "f", Number: 2})
		wantKind(t, err, faas.NotFound)
	})
}

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
			t.Fatalf("the next is revision %d, live is %d", rev.Number, g.live(t, "f"))
		}
	})
}

func TestTriggers(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "one")
		spec := faas.TriggerSpec{Function: "f", Methods: []string{"get"}, Path: "/a/:x"}
		first, created, err := g.PutTrigger(t.Context(), "t", spec)
		if err != nil || !created || !slices.Equal(first.Methods, []string{"GET"}) {
			t.Fatalf("put %+v, created %v, %v", first, created, err)
		}
		if len(first.Command) > 0 || first.Timeout != 0 {
			t.Fatal("what the trigger leaves to its function does not follow it")
		}
		m, err := g.catalog.Match("GET", "/a/b")
		if err != nil || m.Trigger.Name != "t" {
			t.Fatalf("match %+v, %v", m, err)
		}

		_, _, err = g.PutTrigger(t.Context(), "other", faas.TriggerSpec{Function: "f", Methods: []string{"POST", "GET"}, Path: "/a/:y"})
		wantKind(t, err, faas.Conflict)
		if keys := g.keys(t, "triggers/"); !slices.Equal(keys, []string{"triggers/t.json"}) {
			t.Fatalf("a refused trigger left %q", keys)
		}

		spec.Path = "/b"
		second, created, err := g.PutTrigger(t.Context(), "t", spec)
		if err != nil || created || !second.CreatedAt.Equal(first.CreatedAt) || !second.UpdatedAt.After(first.UpdatedAt) {
			t.Fatalf("replaced by %+v, created %v, %v", second, created, err)
		}
		_, err = g.catalog.Match("GET", "/a/b")
		wantKind(t, err, faas.NotFound)
		if _, err := g.catalog.Match("GET", "/b"); err != nil {
			t.Fatal(err)
		}
		_, err = g.catalog.Match("POST", "/b")
		wantKind(t, err, faas.MethodNotAllowed)

		if err := g.DeleteTrigger(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		_, err = g.catalog.Match("GET", "/b")
		wantKind(t, err, faas.NotFound)
		if keys := g.keys(t, "triggers/"); !slices.Equal(keys, []string{"triggers/t.deleted.json"}) {
			t.Fatalf("a deletion left %q", keys)
		}
	})
}

func TestTriggersThatDoNotFit(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	g.put(t, "f", "one")
	for name, c := range map[string]struct {
		name  faas.TriggerName
		spec  faas.TriggerSpec
		field string
	}{
		"a bad name":          {"T", faas.TriggerSpec{Function: "f", Methods: []string{"GET"}, Path: "/"}, "/name"},
		"an unknown function": {"t", faas.TriggerSpec{Function: "g", Methods: []string{"GET"}, Path: "/", Command: faas.Command{"true"}}, "/function"},
		"a bad function":      {"t", faas.TriggerSpec{Function: "g/g", Methods: []string{"GET"}, Path: "/", Command: faas.Command{"true"}}, "/function"},
		"a bad method":        {"t", faas.TriggerSpec{Function: "f", Methods: []string{"BREW"}, Path: "/"}, "/methods/0"},
		"a bad path":          {"t", faas.TriggerSpec{Function: "f", Methods: []string{"GET"}, Path: "/-/mine"}, "/path"},
		"a looser mode":       {"t", faas.TriggerSpec{Function: "f", Methods: []string{"GET"}, Path: "/", Mode: faas.ModeWarm}, "/mode"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := g.PutTrigger(t.Context(), c.name, c.spec)
			e := problem(t, err, faas.NotAllowed)
			if len(e.Fields) != 1 || e.Fields[0].Pointer != c.field {
				t.Fatalf("fields %+v, want %s", e.Fields, c.field)
			}
		})
	}
	if keys := g.keys(t, "triggers/"); len(keys) > 0 {
		t.Fatalf("refused triggers left %q", keys)
	}
}

func TestAnAnsweredRegistrationIsServedEverywhere(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		a, b := s.start(t, 0), s.start(t, 0)
		for i := range faas.RevisionNumber(5) {
			if a.put(t, "f", "x"); b.live(t, "f") != i+1 {
				t.Fatalf("the other gateway serves revision %d of %d", b.live(t, "f"), i+1)
			}
		}
		a.putTrigger(t, "t", "f", "/t")
		if _, err := b.catalog.Match("GET", "/t"); err != nil {
			t.Fatal(err)
		}
		if err := b.DeleteTrigger(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		_, err := a.catalog.Match("GET", "/t")
		wantKind(t, err, faas.NotFound)
	})
}

func TestADeadGatewayDoesNotHoldRegistrationsUp(t *testing.T) {
	s := newEmbeddedSite(t)
	a, b := s.start(t, 0), s.start(t, 0)
	b.lingers = true
	b.stop()
	began := time.Now()
	a.put(t, "f", "x")
	if took := time.Since(began); took > 4*time.Second {
		t.Fatalf("it took %s", took)
	}
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
				testenv.Eventually(t, "the build began", func() bool { return len(a.builder.builds()) == 1 })
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
	testenv.Eventually(t, "the build began", func() bool { return len(a.builder.builds()) == 1 })
	b := s.start(t, 0)
	b.put(t, "other", "x") // by then it has looked at what is building
	close(a.builder.hold)
	if rev, err := b.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second); err != nil || rev.State != faas.RevisionReady {
		t.Fatalf("revision %+v, %v", rev, err)
	}
	if slices.Contains(b.builder.builds(), r.Revision.Ref()) {
		t.Fatal("two gateways built one revision")
	}
}

func TestANumberThatTheRegistryForgotIsNotGivenTwice(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		one := g.put(t, "f", "one")
		// The registry knows nothing of a second revision and of half a third one.
		at := one.ReadyAt.Add(time.Second)
		two := faas.Revision{Function: "f", Number: 2, State: faas.RevisionReady, Spec: one.Spec, Image: "sha256:two", SourceSum: "two", CreatedAt: at, ReadyAt: &at}
		record, err := json.Marshal(two)
		if err != nil {
			t.Fatal(err)
		}
		for key, content := range map[blob.Key][]byte{
			"functions/f/2/revision.json": record,
			"functions/f/2/source.tgz":    []byte("two"),
			"functions/f/3/source.tgz":    []byte("thr"),
		} {
			if _, err := g.objects.Put(t.Context(), key, bytes.NewReader(content), int64(len(content)), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if rev := g.put(t, "f", "four"); rev.Number != 4 || g.live(t, "f") != 4 {
			t.Fatalf("registered as revision %d, live is %d", rev.Number, g.live(t, "f"))
		}
		for n, want := range map[faas.RevisionNumber]faas.RevisionState{2: faas.RevisionReady, 3: faas.RevisionFailed} {
			rev, err := g.registry.FindRevision(t.Context(), faas.RevisionRef{Function: "f", Number: n})
			if err != nil || rev.State != want {
				t.Fatalf("revision %d is %+v, %v", n, rev, err)
			}
		}
	})
}
