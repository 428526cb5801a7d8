//go:build cluster

package docker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"davit/internal/faas"
)

// known reports which revisions are registered.
type known struct {
	mu    sync.Mutex
	gone  map[faas.FunctionName]bool
	fails bool
}

func (k *known) ask(_ context.Context, ref faas.RevisionRef) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails {
		return false, errors.New("the records are unavailable")
	}
	return !k.gone[ref.Function], nil
}

func (s *site) inRegistry(t *testing.T, b *Builder) []string {
	t.Helper()
	c, err := b.registryOf(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held, err := b.registryImages(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, ref := range held {
		digest, err := c.digest(t.Context(), name)
		if err != nil || digest == "" {
			t.Errorf("%s has the digest %q, %v", name, digest, err)
		}
		names = append(names, ref.String())
	}
	slices.Sort(names)
	return names
}

// TestOnlyTheNewestStays: of what builds made, the daemon keeps only the newest image of each function.
func TestOnlyTheNewestStays(t *testing.T) {
	s := newSite(t)
	b := s.builder(t, nil)
	for n := range faas.RevisionNumber(2) {
		own := source(t, file("Dockerfile", "FROM base:1 AS stage\nRUN echo "+strings.Repeat("x", int(n))+" >/made\nFROM base:1\nCOPY --from=stage /made /\n"))
		b.mustMake(t, revision("f", n+1, faas.FunctionSpec{}, own), own)
		_, _, err := b.make(t.Context(), revision("g", n+1, faas.FunctionSpec{Setup: "false"}, own), own)
		failed(t, err, faas.BuildFailed, "setup failed")
		b.tidying.Wait()
	}
	if err := b.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := s.images(t), []string{s.registry.Addr + "/davit/f:2", base}; !slices.Equal(got, want) {
		t.Errorf("the daemon has %q, want %q", got, want)
	}
	if got, want := s.inRegistry(t, b), []string{"f@1", "f@2"}; !slices.Equal(got, want) {
		t.Errorf("the registry has %q, want %q", got, want)
	}
}

// TestDeletedFunctionsGo: from daemon and registry, after a while, and only they.
func TestDeletedFunctionsGo(t *testing.T) {
	s := newSite(t)
	now, records := time.Now(), &known{gone: map[faas.FunctionName]bool{}}
	b := s.builder(t, func(o *Options) { o.Now, o.Known = func() time.Time { return now }, records.ask })
	for _, name := range []faas.FunctionName{"kept", "deleted"} {
		for n := range faas.RevisionNumber(2) {
			b.mustMake(t, revision(name, n+1, faas.FunctionSpec{Image: base}, nil), nil)
			b.tidying.Wait()
		}
	}
	s.push(t, s.tagged(t, "other/deleted:1")) // not a function's
	all := []string{"deleted@1", "deleted@2", "kept@1", "kept@2"}
	tidy := func(after time.Duration, want ...string) {
		t.Helper()
		now = now.Add(after)
		if err := b.Tidy(t.Context()); (err != nil) != records.fails {
			t.Fatal(err)
		}
		if got := s.inRegistry(t, b); !slices.Equal(got, want) {
			t.Errorf("the registry has %q, want %q", got, want)
		}
	}
	tidy(goneFor, all...)
	records.gone["deleted"] = true
	tidy(goneFor, all...)
	tidy(goneFor/2, all...)
	records.gone["deleted"] = false // registered again
	tidy(goneFor/2, all...)
	records.gone["deleted"] = true
	tidy(goneFor, all...)
	records.fails = true
	tidy(goneFor, all...)
	records.fails = false
	tidy(goneFor, all...)
	tidy(goneFor, "kept@1", "kept@2")
	if got, want := s.images(t), []string{s.registry.Addr + "/davit/kept:2", base}; !slices.Equal(got, want) {
		t.Errorf("the daemon has %q, want %q", got, want)
	}
	c, err := b.registryOf(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := c.digest(t.Context(), s.registry.Addr+"/other/deleted:1"); err != nil || digest == "" {
		t.Errorf("an image that is no function's is gone: %v", err)
	}
}

// TestSharedDigestStays: a digest is not removed while another revision needs it, because its removal removes all its
// tags.
func TestSharedDigestStays(t *testing.T) {
	s := newSite(t)
	now, gone := time.Now(), faas.RevisionNumber(1)
	b := s.builder(t, func(o *Options) {
		o.Now = func() time.Time { return now }
		o.Known = func(_ context.Context, ref faas.RevisionRef) (bool, error) { return ref.Number != gone, nil }
	})
	packed := source(t, file("app.txt", "app"))
	b.mustMake(t, revision("f", 1, faas.FunctionSpec{}, packed), packed)
	tag := b.registry.tag(faas.RevisionRef{Function: "f", Number: 2})
	if _, err := s.docker.ImageTag(t.Context(), client.ImageTagOptions{Source: s.registry.Addr + "/davit/f:1", Target: tag}); err != nil {
		t.Fatal(err)
	}
	s.push(t, tag)
	if got := s.inRegistry(t, b); !slices.Equal(got, []string{"f@1", "f@2"}) {
		t.Fatalf("the registry has %q", got)
	}
	for range 2 {
		if err := b.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(goneFor)
	}
	if got := s.inRegistry(t, b); !slices.Equal(got, []string{"f@1", "f@2"}) {
		t.Errorf("the registry has %q", got)
	}
	gone = 2
	for range 2 {
		if err := b.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(goneFor)
	}
	if got := s.inRegistry(t, b); !slices.Equal(got, []string{"f@1", "f@2"}) {
		t.Errorf("the registry has %q, but the first revision is registered", got)
	}
}

// tagged names the base image for the registry.
func (s *site) tagged(t *testing.T, name string) string {
	t.Helper()
	full := s.registry.Addr + "/" + name
	s.scratch(t, full, "")
	return full
}

// TestPulledImagesAreGivenBack: an image that a build pulled is removed after an hour; one that the daemon had before
// stays.
func TestPulledImagesAreGivenBack(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	b := s.builder(t, func(o *Options) { o.Now = func() time.Time { return now } })
	name := s.tagged(t, "team/app:1")
	s.push(t, name)
	packed := source(t, file("app.txt", "app"))
	for _, pulled := range []bool{true, false} {
		_, log := b.mustMake(t, revision("f", 1, faas.FunctionSpec{BaseImage: name}, packed), packed)
		if strings.Contains(log, "pulling "+name) != pulled {
			t.Errorf("the log is\n%s", log)
		}
	}
	b.tidying.Wait()
	if !slices.Contains(s.images(t), name) {
		t.Errorf("the base is gone at once: %q", s.images(t))
	}
	now = now.Add(freshFor)
	if err := b.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(s.images(t), name) || !slices.Contains(s.images(t), base) {
		t.Errorf("the daemon has %q", s.images(t))
	}
	_, log := b.mustMake(t, revision("f", 2, faas.FunctionSpec{BaseImage: name}, packed), packed)
	if !strings.Contains(log, "pulling "+name) {
		t.Errorf("the base was not pulled again:\n%s", log)
	}
	// The base, which has lost its name, is removed with the function's image.
	now = now.Add(freshFor)
	if _, err := s.docker.ImageRemove(t.Context(), s.registry.Addr+"/davit/f:2", client.ImageRemoveOptions{PruneChildren: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := s.images(t), []string{base}; !slices.Equal(got, want) {
		t.Errorf("the daemon has %q, want %q", got, want)
	}
}

// TestManyAtOnce: builds of several functions at once succeed, while images are removed.
func TestManyAtOnce(t *testing.T) {
	s := newSite(t)
	b := s.builder(t, nil)
	own := source(t, file("Dockerfile", "FROM base:1 AS stage\nRUN echo made >/made\nFROM base:1\nCOPY --from=stage /made /\n"))
	var all sync.WaitGroup
	for _, name := range []faas.FunctionName{"a", "b", "c"} {
		all.Go(func() {
			for n := range faas.RevisionNumber(2) {
				if _, log, err := b.make(t.Context(), revision(name, n+1, faas.FunctionSpec{}, own), own); err != nil {
					t.Errorf("%s: %v\n%s", name, err, log)
				}
			}
		})
	}
	all.Wait()
	if got := s.inRegistry(t, b); len(got) != 6 {
		t.Errorf("the registry has %q", got)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	b, err := New(Options{Host: "tcp://127.0.0.1:1", Registry: "127.0.0.1:1", Runner: "/bin/sh"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(b.Run(ctx), b.Close()); err != nil {
		t.Error(err)
	}
}
