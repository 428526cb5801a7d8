package route

import (
	"slices"
	"strings"
	"testing"

	"davit/internal/faas"
)

func TestCanonicalIsEqualWherePatternsOverlap(t *testing.T) {
	paths := []string{
		"/", "/a", "/a/", "/:x", "/*", "/a/:x", "/a/:y", "/a/*", "/%3Ax", "/%2A", "/%3A", "/a%2Fb", "/a/b",
		"/a%20b", "/a+b", "/caf%C3%A9", "/café", "/:x/:y", "/%61", "/%25", "/a%25b",
	}
	for _, a := range paths {
		for _, b := range paths {
			p, q := mustPattern(t, a), mustPattern(t, b)
			if same := p.Canonical() == q.Canonical(); same != p.Overlaps(q) {
				t.Errorf("%q → %q and %q → %q: the same is %v, overlaps is %v", a, p.Canonical(), b, q.Canonical(), same, p.Overlaps(q))
			}
		}
		if c := mustPattern(t, a).Canonical(); strings.ContainsAny(c, " \t\r\n") {
			t.Errorf("%q has a blank in %q", a, c)
		}
	}
}

func TestEndpointsNameMethodsAndShape(t *testing.T) {
	trigger := &faas.Trigger{Name: "t", TriggerSpec: faas.TriggerSpec{Methods: []string{"GET", "POST"}, Path: "/a/:id/*"}}
	got, err := Endpoints(trigger)
	if want := []string{"GET /a/:/*", "POST /a/:/*"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("endpoints %q, %v; want %q", got, err, want)
	}
	trigger.Path = "no path"
	if _, err := Endpoints(trigger); err == nil {
		t.Fatal("a path that is no pattern has endpoints")
	}
}

func mustPattern(t *testing.T, path string) Pattern {
	t.Helper()
	p, err := NewPattern(path)
	if err != nil {
		t.Fatalf("pattern %q: %v", path, err)
	}
	return p
}
