package redisstore

import (
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
)

// TestFunctionsTakeTurns: where all runners are bounded, a function with many does
// not keep another one, which has fewer, from its share.
func TestFunctionsTakeTurns(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const all = 4
		s := srv.bare(t)
		until := now().Add(time.Minute)
		place := func(fn faas.FunctionName, id faas.InvocationID) bool {
			return mustGet[bool](t)(s.AcquirePlace(t.Context(), fn, id, 10, all, until))
		}
		for _, id := range []faas.InvocationID{"1", "2", "3", "4"} {
			if !place("busy", id) {
				t.Fatalf("there is no room for %s", id)
			}
		}
		if place("busy", "5") || place("new", "1") {
			t.Fatal("there is room for more than all")
		}
		if !place("busy", "4") {
			t.Error("one that has its place is refused")
		}
		must(t, s.ReleasePlace(t.Context(), "busy", "1"))
		if place("busy", "5") {
			t.Error("who has more came first")
		}
		if !place("new", "1") {
			t.Error("who has none is refused")
		}
		must(t, s.ReleasePlace(t.Context(), "busy", "2"))
		if !place("busy", "5") {
			t.Error("nobody else waits, and it is refused")
		}
		must(t, s.ReleasePlace(t.Context(), "busy", "3"))
		if granted := mustGet[int](t)(s.GrantKept(t.Context(), "warm", 3, all)); granted != 1 {
			t.Errorf("%d kept runners are granted, with room for one", granted)
		}
		if place("new", "2") {
			t.Error("kept runners do not count")
		}
		room, shares, err := s.SetKept(t.Context(), map[faas.FunctionName]int{"warm": 1, "none": 0}, all)
		must(t, err)
		slices.SortFunc(shares, func(a, b faas.Share) int { return strings.Compare(string(a.Function), string(b.Function)) })
		want := []faas.Share{{Function: "busy", Runners: 2}, {Function: "new", Runners: 1, Wishes: true}, {Function: "warm", Runners: 1, Wishes: true}}
		if room != 0 || !slices.Equal(shares, want) {
			t.Errorf("room %d, shares %+v, want %+v", room, shares, want)
		}
		if room, _, err = s.SetKept(t.Context(), nil, all); room != 1 || err != nil {
			t.Errorf("without kept ones: room %d, %v", room, err)
		}
		later := srv.at(t, 5*time.Second) // wishes are forgotten
		if granted := mustGet[int](t)(later.GrantKept(t.Context(), "busy", 5, all)); granted != 1 {
			t.Errorf("%d are granted when nobody else waits", granted)
		}
		if granted := mustGet[int](t)(later.GrantKept(t.Context(), "free", 5, 0)); granted != 5 {
			t.Errorf("%d are granted without a bound", granted)
		}
	})
}
