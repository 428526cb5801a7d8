package register_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// step is one change of the registrations.
type step struct {
	name string
	do   func(ctx context.Context, g *gateway) error
}

// story is a sequence of steps with every kind of change.
func story(t *testing.T) []step {
	put := func(name faas.FunctionName, content string) func(context.Context, *gateway) error {
		source := tgz(t, content)
		return func(ctx context.Context, g *gateway) error {
			r, err := g.PutSource(ctx, name, faas.FunctionSpec{Command: faas.Command{"true"}}, bytes.NewReader(source))
			if err != nil {
				return err
			}
			rev, err := g.WaitReady(ctx, r.Revision.Ref(), time.Minute)
			if err == nil && rev.State != faas.RevisionReady {
				err = fmt.Errorf("%s is %s", rev.Ref(), rev.State)
			}
			return err
		}
	}
	trigger := func(name faas.TriggerName, path string) func(context.Context, *gateway) error {
		return func(ctx context.Context, g *gateway) error {
			_, _, err := g.PutTrigger(ctx, name, faas.TriggerSpec{Function: "f", Methods: []string{"GET"}, Path: path})
			return err
		}
	}
	return []step{
		{"put f", put("f", "one")},
		{"put t", trigger("t", "/t")},
		{"put f again", put("f", "two")},
		{"roll back", func(ctx context.Context, g *gateway) error { return g.Rollback(ctx, "f", 1) }},
		{"move t", trigger("t", "/moved")},
		{"put u", trigger("u", "/u")},
		{"delete u", func(ctx context.Context, g *gateway) error { return g.DeleteTrigger(ctx, "u") }},
		{"put u again", trigger("u", "/u/again")},
		{"delete f", func(ctx context.Context, g *gateway) error { return g.DeleteFunction(ctx, "f", true) }},
		{"put f anew", put("f", "three")},
		{"put t anew", trigger("t", "/anew")},
	}
}

// If a gateway is killed at any write, the next gateway finds each change done or not done, and done if it was
// answered. A registry that loses everything is restored to the same.
func TestKilledAtAnyWriteNothingIsHalfDone(t *testing.T) {
	states, writes := runStory(t)
	for n := int64(1); n <= writes; n++ {
		t.Run(fmt.Sprintf("write %d", n), func(t *testing.T) {
			t.Parallel()
			killAt(t, states, n)
		})
	}
}

// runStory runs the story to its end. It returns the registrations before each step and after the last one.
func runStory(t *testing.T) (states []state, writes int64) {
	t.Helper()
	g := newEmbeddedSite(t).start(t, 0)
	states = []state{""}
	for _, s := range story(t) {
		if err := s.do(t.Context(), g); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		states = append(states, g.observe(t))
	}
	g.stop()
	return states, g.mortal.writes.Load()
}

func killAt(t *testing.T, states []state, n int64) {
	s := newEmbeddedSite(t)
	s.memory = newMemory()
	g := s.start(t, n)
	done := 0
	for _, step := range story(t) {
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() { answered <- step.do(ctx, g) }()
		var err error
		select {
		case err = <-answered:
		case <-g.mortal.dead:
			cancel()
			err = <-answered
		}
		cancel()
		if err != nil {
			break
		}
		done++
	}
	g.stop()
	allowed := states[done : min(done+1, len(states)-1)+1]

	s.skew.Store(int64(time.Hour)) // so that the repair counts an unfinished registration as interrupted
	next := s.start(t, 0)
	settled(t, next)
	got := next.observe(t)
	if !slices.Contains(allowed, got) {
		t.Errorf("killed in %q:\n%q is registered, want one of\n%q", story(t)[min(done, len(states)-2)].name, got, allowed)
	}
	next.stop()

	s.prefix = "emptied:"
	last := s.start(t, 0)
	settled(t, last)
	if again := last.observe(t); again != got {
		t.Errorf("killed after %d steps:\n%q is restored, want\n%q", done, again, got)
	}
	for _, key := range last.keys(t, "functions/") {
		if strings.Contains(key, "/builder-") {
			t.Errorf("%s is still there", key)
		}
	}
}

// settled waits until the gateway has repaired and writes nothing more.
func settled(t *testing.T, g *gateway) {
	t.Helper()
	testenv.Eventually(t, "the repair is done", func() bool { return g.repaired.times.Load() > 0 && g.building(t) == 0 })
	quiet, before := 0, int64(-1)
	testenv.Eventually(t, "nothing more is written", func() bool {
		if now := g.mortal.writes.Load(); now != before {
			quiet, before = 0, now
		} else {
			quiet++
		}
		return quiet > 5
	})
}
