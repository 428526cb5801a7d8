package dispatch

import (
	"strings"
	"testing"
)

// TestSteps holds the table of allowed steps against this one, for all pairs of states.
func TestSteps(t *testing.T) {
	want := map[state]string{
		opened:    "queued claimed committed ended closed",
		queued:    "claimed committed ended closed",
		claimed:   "queued committed ended closed",
		committed: "queued ended closed",
		ended:     "stored recorded closed",
		stored:    "recorded closed",
		recorded:  "stored closed",
		closed:    "",
	}
	for i := range states {
		from := state(i)
		var got []string
		for j := range states {
			to := state(j)
			l := lifecycle{now: from}
			if ok := l.step(to); ok != (l.now == to && from != to) {
				t.Errorf("a step from %s to %s reports %v and leads to %s", from, to, ok, l.now)
			} else if ok {
				got = append(got, to.String())
			}
		}
		if s := strings.Join(got, " "); s != want[from] {
			t.Errorf("from %s the steps are %q, want %q", from, s, want[from])
		}
	}
}

// TestLives walks through whole lives of calls.
func TestLives(t *testing.T) {
	for name, c := range map[string]struct {
		steps   []state
		refused []state // at the end
		was     []state
		wasNot  []state
		known   bool
	}{
		"a free slot": {
			steps:   []state{claimed, committed, ended, stored, recorded, closed},
			refused: []state{opened, queued, claimed, committed, ended, stored, recorded, closed}, was: []state{committed, ended, recorded}, wasNot: []state{queued}, known: true,
		},
		"the record is written before the uploads end": {
			steps: []state{queued, claimed, committed, ended, recorded, stored, recorded, closed}, was: []state{stored}, known: true,
		},
		"refused by a runner": {
			steps: []state{claimed, queued}, refused: []state{queued, stored, recorded}, was: []state{queued}, wasNot: []state{claimed, committed}, known: true,
		},
		"the commit never reached the runner": {
			steps: []state{queued, claimed, committed, queued}, wasNot: []state{committed}, known: true,
		},
		"an end that is reported twice": {
			steps: []state{queued, claimed, committed, ended}, refused: []state{ended, committed, queued}, was: []state{committed}, known: true,
		},
		"lost before it ran": {steps: []state{queued, ended, stored, recorded, closed}, wasNot: []state{committed}, known: true},
		"its body broke":     {steps: []state{claimed, closed}, wasNot: []state{ended}, known: false},
		"adopted":            {steps: []state{committed}, was: []state{committed}, wasNot: []state{queued}, known: true},
		"adopted before its runner's events came": {steps: []state{queued, committed}, was: []state{queued, committed}, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			var l lifecycle
			for i, next := range c.steps {
				if !l.step(next) {
					t.Fatalf("step %d, from %s to %s, is refused", i, l.now, next)
				}
			}
			end := l.now
			for _, next := range c.refused {
				if l.step(next) || l.now != end {
					t.Errorf("a step from %s to %s is allowed", end, next)
				}
			}
			for _, s := range c.was {
				if !l.was(s) {
					t.Errorf("it was never %s", s)
				}
			}
			for _, s := range c.wasNot {
				if l.was(s) {
					t.Errorf("it counts as having been %s", s)
				}
			}
			if l.isKnown() != c.known {
				t.Errorf("others may know of it: %v", !c.known)
			}
		})
	}
}
