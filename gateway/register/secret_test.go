package register_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// secretNames are those that there are; nil: nobody can tell.
type secretNames []string

func (s secretNames) Missing(_ context.Context, names []string) ([]string, error) {
	if s == nil {
		return nil, faas.Errorf(faas.Unavailable, "the store is away")
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(s, n) }), nil
}

// TestSecretsAreThere: a function names secrets that somebody has put.
func TestSecretsAreThere(t *testing.T) {
	spec := faas.FunctionSpec{Secrets: []string{"A", "B", "C"}, RegistrySecret: "login"}
	for _, c := range []struct {
		there  secretNames
		kind   faas.Kind // "": it is registered
		fields []string
	}{
		{secretNames{"A", "B", "C", "login"}, "", nil},
		{secretNames{"A", "C"}, faas.NotAllowed, []string{"/secrets/1", "/registry_secret"}},
		{nil, faas.Unavailable, nil},
	} {
		s := newEmbeddedSite(t)
		s.capabilities, s.secrets = faas.Capabilities{Images: true, Secrets: true}, c.there
		g := s.start(t, 0)
		_, err := g.PutSource(t.Context(), "f", spec, bytes.NewReader(tgz(t, "x")))
		if c.kind == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var fields []string
		for _, f := range problem(t, err, c.kind).Fields {
			fields = append(fields, f.Pointer)
		}
		if !reflect.DeepEqual(fields, c.fields) {
			t.Errorf("fields %q, want %q", fields, c.fields)
		}
	}
}

// TestForget: what others keep of revisions goes before their copies, and is asked for again until it went.
func TestForget(t *testing.T) {
	s := newEmbeddedSite(t)
	var mu sync.Mutex
	var forgotten []faas.RevisionRef
	away := errors.New("away")
	s.forget = func(_ context.Context, ref faas.RevisionRef) error {
		mu.Lock()
		defer mu.Unlock()
		if away != nil {
			return away
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
		t.Fatal("the copies are gone, and what depends on them is not")
	}
	mu.Lock()
	away = nil
	mu.Unlock()
	testenv.Eventually(t, "the copies to be gone", func() bool { return len(g.keys(t, "functions/f/1/"))+len(g.keys(t, "functions/f/2/")) == 0 })
	mu.Lock()
	defer mu.Unlock()
	if want := []faas.RevisionRef{{Function: "f", Number: 1}, {Function: "f", Number: 2}}; !reflect.DeepEqual(forgotten, want) {
		t.Errorf("forgotten: %v, want %v", forgotten, want)
	}
}
