package redisstore

import (
	"testing"
	"time"

	"davit/internal/faas"
)

func TestBind(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		inv := newInvocation(t, "f", "tr", faas.Queued)
		wantKind(t, s.Bind(t.Context(), inv.ID, 1, "r1"), faas.NotFound)
		must(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute)))
		must(t, s.Bind(t.Context(), inv.ID, 1, "r1"))
		must(t, s.Bind(t.Context(), inv.ID, 1, "r1"))
		wantKind(t, s.Bind(t.Context(), inv.ID, 1, "r2"), faas.Conflict)
		wantKind(t, s.Bind(t.Context(), inv.ID, 2, "r1"), faas.Conflict)
		stale := inv.Clone() // written by a gateway that does not know of the binding
		stale.State = faas.Starting
		saveInvocation(t, s, stale)
		if got := find(t, s, inv.ID); got.Inner.Runner != "r1" || got.State != faas.Starting {
			t.Errorf("found %+v", got)
		}
		wantKind(t, s.Unbind(t.Context(), inv.ID, 1, "r2"), faas.Conflict)
		must(t, s.Unbind(t.Context(), inv.ID, 1, "r1"))
		must(t, s.Bind(t.Context(), inv.ID, 1, "r2"))
		again := mustGet[*faas.Invocation](t)(s.UpdateInvocation(t.Context(), inv.ID, func(i *faas.Invocation) error {
			i.Attempt++
			return nil
		}))
		if again.Inner.Runner != "" || again.Attempt != 2 {
			t.Errorf("a new attempt is bound already: %+v", again)
		}
		wantKind(t, s.Bind(t.Context(), inv.ID, 1, "r2"), faas.Conflict)
		must(t, s.Bind(t.Context(), inv.ID, 2, "r3"))
		_, _, err := s.Settle(t.Context(), ended(find(t, s, inv.ID), faas.Failed))
		must(t, err)
		wantKind(t, s.Bind(t.Context(), inv.ID, 2, "r3"), faas.Conflict)
	})
}

func TestBindGoesToOneRunner(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const n = 50
		stores := []*Store{srv.bare(t), srv.bare(t)}
		inv := newInvocation(t, "f", "tr", faas.Queued)
		must(t, stores[0].Enqueue(t.Context(), inv, now().Add(time.Minute)))
		errs := make([]error, n)
		together(n, func(i int) { errs[i] = stores[i%2].Bind(t.Context(), inv.ID, 1, faas.RunnerID(rune('A'+i))) })
		bound := find(t, stores[0], inv.ID).Inner.Runner
		for i, err := range errs {
			if (err == nil) != (bound == faas.RunnerID(rune('A'+i))) {
				t.Errorf("bound to %s, runner %d got %v", bound, i, err)
			}
		}
	})
}

func TestACancelledInvocationIsNotBound(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		s.running(t)
		messages, cancel := s.Subscribe()
		defer cancel()
		inv := newInvocation(t, "f", "tr", faas.Queued)
		must(t, s.PublishCancel(t.Context(), inv.ID)) // published even without a record
		await(t, messages, KindCancel)
		must(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute)))
		must(t, s.PublishCancel(t.Context(), inv.ID))
		if m := await(t, messages, KindCancel); m.Invocation != inv.ID {
			t.Errorf("published %+v", m)
		}
		wantKind(t, s.Bind(t.Context(), inv.ID, 1, "r1"), faas.Conflict)
		stale := inv.Clone()
		stale.State = faas.Starting
		saveInvocation(t, s, stale)
		if got := find(t, s, inv.ID); !got.Inner.Cancelled {
			t.Error("the write of an older record removed the mark")
		}
		by := newInvocation(t, "f", "tr", faas.Queued)
		must(t, s.Enqueue(t.Context(), by, now().Add(time.Minute)))
		_, err := s.UpdateInvocation(t.Context(), by.ID, func(i *faas.Invocation) error { i.Inner.Cancelled = true; return nil })
		must(t, err)
		wantKind(t, s.Bind(t.Context(), by.ID, 1, "r1"), faas.Conflict)
	})
}
