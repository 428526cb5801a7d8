package redisstore

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"davit/internal/faas"
)

// idAtMilli returns the n-th ID of a millisecond.
func idAtMilli(at time.Time, n int) faas.InvocationID {
	return faas.InvocationID(fmt.Sprintf("%s-7%03x-8000-000000000000", idAt(at), n))
}

// listed returns the IDs on all pages of a filter.
func listed(t testing.TB, s *Store, f faas.InvocationFilter) []faas.InvocationID {
	t.Helper()
	var ids []faas.InvocationID
	for {
		items, next, err := s.ListInvocations(t.Context(), f)
		must(t, err)
		if len(items) > pageSize(f.Limit) || next != "" && len(items) != pageSize(f.Limit) {
			t.Fatalf("a page of %d, next %q, limit %d", len(items), next, f.Limit)
		}
		for _, inv := range items {
			ids = append(ids, inv.ID)
		}
		if f.Cursor = next; next == "" {
			return ids
		}
	}
}

func TestListInvocations(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s, start := srv.bare(t), now().Add(-time.Hour)
		var all []*faas.Invocation
		for i := range 700 {
			fn := faas.FunctionName(fmt.Sprint("f", i%3))
			inv := newInvocation(t, fn, faas.TriggerName(fmt.Sprint("t", i%7)), []faas.State{faas.Succeeded, faas.Running}[i%2])
			inv.CreatedAt = start.Add(time.Duration(i/4) * time.Second)
			inv.ID = idAtMilli(inv.CreatedAt, i%4)
			if i == 5 { // the only one that a filter selects
				inv.Function, inv.Trigger, inv.State = "rare", "t0", faas.Queued
			}
			all = append(all, inv)
		}
		saveInvocation(t, s, all...)
		for _, f := range []faas.InvocationFilter{
			{Limit: 1000},
			{Limit: 100},
			{Limit: 7, Function: "f1"},
			{Limit: 50, Trigger: "t3"},
			{Limit: 1, Function: "rare"},
			{Limit: 10, Function: "f0", Trigger: "t1"},
			{Limit: 10, Function: "f0", Trigger: "t1", State: faas.Running},
			{Limit: 3, Trigger: "t0", State: faas.Queued},
			{Limit: 3, Function: "f2", State: faas.Queued},
			{Limit: 20, State: faas.Succeeded, Since: start.Add(100 * time.Second)},
			{Limit: 20, Since: start.Add(-time.Hour)},
			{Limit: 20, Since: time.Now().Add(time.Hour)},
			{Limit: 20, Function: "nobody"},
		} {
			var want []faas.InvocationID
			for _, inv := range slices.Backward(all) {
				if selects(f, inv.Function, inv.Trigger, inv.State) && !inv.CreatedAt.Before(f.Since) {
					want = append(want, inv.ID)
				}
			}
			if got := listed(t, s, f); !slices.Equal(got, want) {
				t.Errorf("%+v: %d ids, want %d", f, len(got), len(want))
			}
		}
	})
}

func TestTheShortestIndexIsShortWithinTheBounds(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s, since := srv.bare(t), now()
		add := func(at time.Time, fn faas.FunctionName, state faas.State, n int) {
			for i := range n {
				inv := newInvocation(t, fn, "tr", state)
				inv.CreatedAt, inv.ID = at, idAtMilli(at, i)
				saveInvocation(t, s, inv)
			}
		}
		add(since.Add(-2*time.Second), "f", faas.Running, 9)
		add(since, "g", faas.Failed, 3)
		add(since.Add(time.Second), "f", faas.Failed, 1)
		for _, c := range []struct {
			what   string
			filter faas.InvocationFilter
			want   string
		}{
			{"4 failed, 10 of f", faas.InvocationFilter{}, s.keys.byState(faas.Failed)},
			{"4 failed, 1 of f", faas.InvocationFilter{Since: since}, s.keys.byFunction("f")},
			{"0 failed, 9 of f", faas.InvocationFilter{Cursor: string(idAtMilli(since, 0))}, s.keys.byState(faas.Failed)},
		} {
			c.filter.Function, c.filter.State = "f", faas.Failed
			got, exact, err := s.shortestIndex(t.Context(), c.filter)
			must(t, err)
			if got != c.want || exact {
				t.Errorf("%s: %s, exact %v; want %s", c.what, got, exact, c.want)
			}
		}
	})
}

func TestPagesStayWhatTheyAre(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		for range 20 {
			saveInvocation(t, s, newInvocation(t, "f", "tr", faas.Running))
		}
		first, next, err := s.ListInvocations(t.Context(), faas.InvocationFilter{Limit: 5})
		must(t, err)
		rest := listed(t, s, faas.InvocationFilter{Limit: 5, Cursor: next})
		for range 10 { // newer than those on the first page
			saveInvocation(t, s, newInvocation(t, "f", "tr", faas.Running))
		}
		_, _, err = s.Settle(t.Context(), ended(first[0], faas.Failed))
		must(t, err)
		must(t, s.DeleteInvocation(t.Context(), first[0].ID, time.Time{}))
		if again := listed(t, s, faas.InvocationFilter{Limit: 5, Cursor: next}); !slices.Equal(again, rest) || len(rest) != 15 {
			t.Errorf("%v, before %v", again, rest)
		}
		_, _, err = s.ListInvocations(t.Context(), faas.InvocationFilter{Cursor: "(x"})
		wantKind(t, err, faas.Invalid)
	})
}

func TestTheListForgetsWhatRedisDropped(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		kept := newInvocation(t, "f", "tr", faas.Succeeded)
		saveInvocation(t, s, kept)
		for range 300 {
			inv := newInvocation(t, "f", "tr", faas.Succeeded)
			saveInvocation(t, s, inv)
			must(t, s.client.Del(t.Context(), s.keys.invocation(inv.ID)).Err())
		}
		for i, f := range []faas.InvocationFilter{{}, {Function: "f"}, {Trigger: "tr", State: faas.Succeeded}} {
			if got := listed(t, s, f); !slices.Equal(got, []faas.InvocationID{kept.ID}) {
				t.Errorf("%+v: %v", f, got)
			}
			if i == 0 {
				wantCounts(t, s, counts{All: 1, Final: 1})
			}
		}
		for _, key := range []string{s.keys.invocations(), s.keys.byFunction("f")} {
			if n := mustGet[int64](t)(s.client.ZCard(t.Context(), key).Result()); n != 1 {
				t.Errorf("%s still has %d", key, n)
			}
		}
	})
}
