package redisstore

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"davit/internal/faas"
)

func ids(invs []*faas.Invocation) []faas.InvocationID {
	out := make([]faas.InvocationID, len(invs))
	for i, inv := range invs {
		out[i] = inv.ID
	}
	return out
}

func TestEnqueueIsReadBack(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		inv := newInvocation(t, "f", "tr", faas.Queued)
		inv.Inner.Accepted = true
		must(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute)))
		if got := find(t, srv.bare(t), inv.ID); !reflect.DeepEqual(got, inv) {
			t.Errorf("found %+v, want %+v", got, inv)
		}
		must(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute))) // as the client does when an answer got lost
		wantCounts(t, s, counts{All: 1, Queued: 1})
		running := inv.Clone()
		running.State = faas.Running
		must(t, s.Enqueue(t.Context(), running, now().Add(time.Minute)))
		stolen := inv.Clone()
		stolen.Inner.Gateway = "g2"
		wantKind(t, s.Enqueue(t.Context(), stolen, now().Add(time.Minute)), faas.Conflict)
		nobody := inv.Clone()
		nobody.Inner.Gateway = ""
		wantKind(t, s.Enqueue(t.Context(), nobody, now().Add(time.Minute)), faas.Internal)
		wantKind(t, s.Enqueue(t.Context(), ended(inv, faas.Failed), now().Add(time.Minute)), faas.Internal)
		_, _, err := s.Settle(t.Context(), ended(inv, faas.Failed))
		must(t, err)
		wantKind(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute)), faas.Conflict)
		wantCounts(t, s, counts{All: 1, Final: 1})
	})
}

func TestLeases(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s, at := srv.bare(t), now()
		var all []*faas.Invocation
		for i := range 5 {
			inv := newInvocation(t, "f", "tr", faas.Queued)
			must(t, s.Enqueue(t.Context(), inv, at.Add(time.Duration(i)*time.Second)))
			all = append(all, inv)
		}
		take := func(g faas.GatewayID, now time.Duration, most int) []faas.InvocationID {
			return ids(mustGet[[]*faas.Invocation](t)(s.TakeExpired(t.Context(), g, at.Add(now), at.Add(now+time.Minute), most)))
		}
		if got := take("g2", -time.Second, 10); len(got) != 0 {
			t.Errorf("taken before the end: %v", got)
		}
		if got := take("g2", 2*time.Second, 2); !slices.Equal(got, ids(all[:2])) {
			t.Errorf("taken: %v, want the two whose leases ended first", got)
		}
		renew := func(g faas.GatewayID, which []faas.InvocationID) []faas.InvocationID {
			return mustGet[[]faas.InvocationID](t)(s.Renew(t.Context(), g, which, at.Add(time.Hour)))
		}
		if lost := renew("g1", ids(all)); !slices.Equal(lost, ids(all[:2])) {
			t.Errorf("lost: %v, want %v", lost, ids(all[:2]))
		}
		if lost := renew("g2", ids(all[:2])); len(lost) > 0 {
			t.Errorf("lost: %v of its own", lost)
		}
		if lost := renew("g2", nil); len(lost) > 0 {
			t.Errorf("lost: %v of none", lost)
		}
		if got := take("g3", 30*time.Minute, 10); len(got) != 0 {
			t.Errorf("taken though renewed: %v", got)
		}
		must(t, s.ReleaseLeases(t.Context(), "g2", ids(all))) // its own only
		if got := take("g3", 0, 10); !slices.Equal(got, ids(all[:2])) {
			t.Errorf("taken after the release: %v", got)
		}
		if got := find(t, s, all[0].ID); got.Inner.Gateway != "g3" {
			t.Errorf("led by %q", got.Inner.Gateway)
		}
		if got := take("g3", 2*time.Hour, 10); len(got) != 5 {
			t.Errorf("taken after all leases have ended: %d", len(got))
		}
		_, err := s.TakeExpired(t.Context(), "g3", at, at, 10)
		wantKind(t, err, faas.Internal)
		must(t, s.client.Del(t.Context(), s.keys.invocation(all[4].ID)).Err())
		if got := take("g4", 3*time.Hour, 10); len(got) != 4 {
			t.Errorf("taken: %d, want 4 because one has no record", len(got))
		}
	})
}

func TestAReleasedEntryTakesNoWritesOfItsFormerLeader(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		inv := newInvocation(t, "f", "tr", faas.Queued)
		must(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute)))
		must(t, s.ReleaseLeases(t.Context(), "g1", []faas.InvocationID{inv.ID}))
		_, _, err := s.Settle(t.Context(), ended(inv, faas.Failed))
		wantKind(t, err, faas.Conflict)
	})
}

func TestEachEntryIsTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const n, each = 50, 4
		stores := []*Store{srv.bare(t), srv.bare(t), srv.bare(t)}
		at := now()
		all := make([][]*faas.Invocation, n)
		for i := range n {
			for range each {
				all[i] = append(all[i], newInvocation(t, "f", "tr", faas.Queued))
			}
		}
		taken, errs := make([][]*faas.Invocation, 2*n), make([]error, 2*n)
		together(2*n, func(i int) { // half of them put in while the others take
			s := stores[i%3]
			if i < n {
				for _, inv := range all[i] {
					errs[i] = errors.Join(errs[i], s.Enqueue(t.Context(), inv, at))
				}
			}
			var some []*faas.Invocation
			for range each {
				some, errs[i] = s.TakeExpired(t.Context(), faas.GatewayID(rune('A'+i)), at, at.Add(time.Hour), 5)
				taken[i] = append(taken[i], some...)
			}
		})
		last := mustGet[[]*faas.Invocation](t)(stores[0].TakeExpired(t.Context(), "last", at, at.Add(time.Hour), n*each))
		seen := map[faas.InvocationID]int{}
		for i, some := range append(taken, last) {
			if i < len(errs) {
				must(t, errs[i])
			}
			for _, inv := range some {
				seen[inv.ID]++
			}
		}
		for _, invs := range all {
			for _, inv := range invs {
				if seen[inv.ID] != 1 {
					t.Fatalf("%s was taken %d times", inv.ID, seen[inv.ID])
				}
			}
		}
		wantCounts(t, stores[0], counts{All: n * each, Queued: n * each})
	})
}

func TestARepeatedTakeTakesTheSame(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s, at := srv.bare(t), now()
		inv := newInvocation(t, "f", "tr", faas.Queued)
		must(t, s.Enqueue(t.Context(), inv, at))
		take := func(gateway, request string) int {
			keys := []string{s.keys.leases(), s.keys.invocation(inv.ID)}
			args := []any{gateway, s.stamp(at), s.stamp(at.Add(time.Minute)), request, string(inv.ID)}
			return len(mustGet[[]any](t)(s.eval(t.Context(), takeLua, keys, args...).Slice()))
		}
		for _, c := range []struct {
			gateway, request string
			want             int
		}{{"g2", "x", 1}, {"g2", "x", 1}, {"g3", "y", 0}, {"g2", "z", 0}} {
			if got := take(c.gateway, c.request); got != c.want {
				t.Errorf("%s, request %s: took %d, want %d", c.gateway, c.request, got, c.want)
			}
		}
	})
}
