package redisstore

import (
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
)

// TestFunctionsTakeTurns: when the limit of all runners is reached, a function with fewer runners comes before one with
// more.
func TestFunctionsTakeTurns(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const all = 4
		s := srv.bare(t)
		until := now().Add(time.Minute)
		acquire := func(fn faas.FunctionName, id faas.InvocationID) bool {
			return mustGet[bool](t)(s.AcquirePermit(t.Context(), fn, id, 10, all, until))
		}
		for _, id := range []faas.InvocationID{"1", "2", "3", "4"} {
			if !acquire("busy", id) {
				t.Fatalf("the permit of %s is refused below the limit", id)
			}
		}
		if acquire("busy", "5") || acquire("new", "1") {
			t.Fatal("a permit is acquired beyond the limit")
		}
		if !acquire("busy", "4") {
			t.Error("acquiring the same permit again is refused")
		}
		must(t, s.ReleasePermit(t.Context(), "busy", "1"))
		if acquire("busy", "5") {
			t.Error("the function with more runners came first")
		}
		if !acquire("new", "1") {
			t.Error("the function without runners is refused")
		}
		must(t, s.ReleasePermit(t.Context(), "busy", "2"))
		if !acquire("busy", "5") {
			t.Error("no other function waits, and the permit is refused")
		}
		must(t, s.ReleasePermit(t.Context(), "busy", "3"))
		if granted := mustGet[int](t)(s.GrantKept(t.Context(), "warm", 3, all)); granted != 1 {
			t.Errorf("%d kept runners are granted, want the one below the limit", granted)
		}
		if acquire("new", "2") {
			t.Error("kept runners do not count")
		}
		room, shares, err := s.SetKept(t.Context(), map[faas.FunctionName]int{"warm": 1, "none": 0}, all)
		must(t, err)
		slices.SortFunc(shares, func(a, b faas.Share) int { return strings.Compare(string(a.Function), string(b.Function)) })
		want := []faas.Share{{Function: "busy", Runners: 2}, {Function: "new", Runners: 1, Refused: true}, {Function: "warm", Runners: 1, Refused: true}}
		if room != 0 || !slices.Equal(shares, want) {
			t.Errorf("room %d, shares %+v, want %+v", room, shares, want)
		}
		if room, _, err = s.SetKept(t.Context(), nil, all); room != 1 || err != nil {
			t.Errorf("without kept runners: room %d, %v", room, err)
		}
		later := srv.at(t, 5*time.Second) // when no function counts as waiting
		if granted := mustGet[int](t)(later.GrantKept(t.Context(), "busy", 5, all)); granted != 1 {
			t.Errorf("%d are granted, want 1, when no other function waits", granted)
		}
		if granted := mustGet[int](t)(later.GrantKept(t.Context(), "free", 5, 0)); granted != 5 {
			t.Errorf("%d are granted without a limit, want 5", granted)
		}
	})
}

// TestFewerKeptRunnersArePublished: calls of every function may get a permit when a function has fewer kept runners.
func TestFewerKeptRunnersArePublished(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		s.running(t)
		messages, cancel := s.Subscribe()
		defer cancel()
		for _, kept := range []map[faas.FunctionName]int{
			{"a": 3, "b": 2, "c": 1}, // more of all
			{"a": 2, "b": 3, "c": 1}, // as many as before
			{"a": 1, "b": 3},         // fewer
		} {
			_, _, err := s.SetKept(t.Context(), kept, 10)
			must(t, err)
		}
		must(t, s.PublishExit(t.Context(), "the last message"))
		var got []faas.FunctionName
		for m := range messages {
			if m.Kind == KindExit {
				break
			}
			if m.Kind == KindPermit {
				got = append(got, m.Function)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, []faas.FunctionName{"a", "c"}) {
			t.Errorf("published %q, want a and c", got)
		}
	})
}
