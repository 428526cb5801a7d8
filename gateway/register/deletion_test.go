package register_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

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
			t.Fatalf("the conflict is %q", e.Detail)
		}
		if g.live(t, "f") != 2 || len(g.keys(t, "functions/f/deleted.json")) > 0 {
			t.Fatal("a refused deletion changed something")
		}
		if err := g.DeleteFunction(t.Context(), "f", true); err != nil {
			t.Fatal(err)
		}
		_, err = g.catalog.Live("f")
		wantKind(t, err, faas.NotFound)
		_, err = g.catalog.Match("GET", "/t")
		wantKind(t, err, faas.NotFound)
		if rev, err := g.catalog.Revision(t.Context(), old.Ref()); err != nil || rev.Number != 2 {
			t.Fatalf("the revision of running calls is not found: %v", err)
		}
		if keys := g.keys(t, ""); !slices.Equal(keys, []string{"functions/f/deleted.json", "triggers/t.deleted.json"}) {
			t.Fatalf("the store holds %q", keys)
		}
		wantKind(t, g.DeleteFunction(t.Context(), "f", true), faas.NotFound)
		wantKind(t, g.DeleteTrigger(t.Context(), "t"), faas.NotFound)

		if rev := g.put(t, "f", "three"); rev.Number != 3 {
			t.Fatalf("the revision after the deletion is %d", rev.Number)
		}
		g.putTrigger(t, "t", "f", "/t")
		g.stop()

		s.prefix = "emptied:" // an empty Redis, as after a loss
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

// TestForget: Forget is called before the objects of a revision are deleted, and again until it succeeds.
func TestForget(t *testing.T) {
	s := newEmbeddedSite(t)
	var mu sync.Mutex
	var forgotten []faas.RevisionRef
	failure := errors.New("unavailable")
	s.forget = func(_ context.Context, ref faas.RevisionRef) error {
		mu.Lock()
		defer mu.Unlock()
		if failure != nil {
			return failure
		}
		forgotten = append(forgotten, ref)
		return nil
	}
	g := s.start(t, 0)
	g.put(t, "f", "one")
	g.put(t, "f", "two")
	g.put(t, "other", "stays")
	if err := g.DeleteFunction(t.Context(), "f", false); err != nil {
		t.Fatal(err)
	}
	if keys := g.keys(t, "functions/f/1/"); len(keys) == 0 {
		t.Fatal("the objects are deleted although Forget failed")
	}
	mu.Lock()
	failure = nil
	mu.Unlock()
	testenv.Eventually(t, "the objects are deleted", func() bool { return len(g.keys(t, "functions/f/1/"))+len(g.keys(t, "functions/f/2/")) == 0 })
	mu.Lock()
	defer mu.Unlock()
	if want := []faas.RevisionRef{{Function: "f", Number: 1}, {Function: "f", Number: 2}}; !reflect.DeepEqual(forgotten, want) {
		t.Errorf("forgotten: %v, want %v", forgotten, want)
	}
}
