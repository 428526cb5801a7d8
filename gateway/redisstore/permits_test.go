package redisstore

import (
	"testing"
	"time"

	"davit/internal/faas"
)

func TestPermits(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s, at := srv.bare(t), now()
		s.running(t)
		messages, cancel := s.Subscribe()
		defer cancel()
		acquire := func(at *Store, id faas.InvocationID, until time.Time) bool {
			return mustGet[bool](t)(at.AcquirePermit(t.Context(), "f", id, 2, 0, until))
		}
		if !acquire(s, "a", at.Add(time.Minute)) || !acquire(s, "b", at.Add(time.Minute)) || acquire(s, "c", at.Add(time.Minute)) {
			t.Error("a limit of two permits is not two")
		}
		if !acquire(s, "a", at.Add(time.Minute)) {
			t.Error("acquiring the same permit again is refused")
		}
		must(t, s.ReleasePermit(t.Context(), "f", "a"))
		if m := await(t, messages, KindPermit); m.Function != "f" {
			t.Errorf("published %+v", m)
		}
		must(t, s.ReleasePermit(t.Context(), "f", "a"))
		if !acquire(s, "c", at.Add(time.Minute)) || acquire(s, "a", at.Add(time.Minute)) {
			t.Error("the released permit cannot be acquired")
		}
		must(t, s.RenewPermits(t.Context(), "f", []faas.InvocationID{"b"}, at.Add(time.Hour)))
		later := srv.at(t, 30*time.Minute) // c's gateway has died
		if !acquire(later, "d", at.Add(time.Hour)) || acquire(later, "e", at.Add(time.Hour)) {
			t.Error("the permit of the dead gateway is not free, or others are")
		}
		must(t, s.RenewPermits(t.Context(), "f", []faas.InvocationID{"c"}, at.Add(2*time.Hour))) // c's gateway was not dead
		must(t, s.ReleasePermit(t.Context(), "f", "d"))
		if acquire(later, "e", at.Add(time.Hour)) {
			t.Error("a running job does not count")
		}
		must(t, s.RenewPermits(t.Context(), "f", nil, at))
	})
}

func TestPermitsNeverExceedTheLimit(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const n, most = 50, 7
		stores := []*Store{srv.bare(t), srv.bare(t)}
		got, errs := make([]bool, n), make([]error, n)
		together(n, func(i int) {
			got[i], errs[i] = stores[i%2].AcquirePermit(t.Context(), "f", faas.InvocationID(rune('A'+i)), most, 0, now().Add(time.Minute))
		})
		count := 0
		for i := range n {
			must(t, errs[i])
			if got[i] {
				count++
			}
		}
		if count != most {
			t.Errorf("%d acquired one of %d permits", count, most)
		}
	})
}
