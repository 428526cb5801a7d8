package redisstore

import (
	"testing"
	"time"
)

func TestSessionsEndForEveryGateway(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		a, b := srv.bare(t), srv.bare(t)
		has := func(id string, want bool) {
			t.Helper()
			for _, s := range []*Store{a, b} {
				if got := mustGet[bool](t)(s.HasSession(t.Context(), id)); got != want {
					t.Fatalf("session %s: %v, want %v", id, got, want)
				}
			}
		}
		has("one", false)
		must(t, a.StartSession(t.Context(), "one", time.Hour))
		must(t, a.StartSession(t.Context(), "two", time.Minute))
		has("one", true)
		must(t, b.EndSession(t.Context(), "one"))
		must(t, b.EndSession(t.Context(), "one"))
		has("one", false)
		has("two", true)
		if left := mustGet[time.Duration](t)(a.client.PTTL(t.Context(), a.keys.session("two")).Result()); left <= 0 || left > time.Minute {
			t.Fatalf("the session expires in %s", left)
		}
	})
}
