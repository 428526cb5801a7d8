package register_test

import (
	"slices"
	"testing"

	"davit/internal/faas"
)

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
			t.Fatal("a field without a value does not stay empty")
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
