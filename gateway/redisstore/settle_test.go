package redisstore

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"davit/internal/faas"
)

func TestSettleIsAppliedOnce(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const n = 50
		stores := []*Store{srv.bare(t), srv.bare(t), srv.bare(t)}
		s := stores[0]
		inv := newInvocation(t, "f", "tr", faas.Running)
		must(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute)))
		applied, settled, errs := make([]bool, n), make([]*faas.Invocation, n), make([]error, n)
		together(n, func(i int) {
			mine := ended(inv, []faas.State{faas.Succeeded, faas.Failed, faas.StateCancelled}[i%3])
			mine.Detail = fmt.Sprint(i)
			settled[i], applied[i], errs[i] = stores[i%3].Settle(t.Context(), mine)
		})
		stands := find(t, s, inv.ID)
		winners := 0
		for i := range n {
			must(t, errs[i])
			if applied[i] {
				winners++
				if stands.Detail != fmt.Sprint(i) {
					t.Errorf("%d was applied, but %s stands", i, stands.Detail)
				}
			}
			if !reflect.DeepEqual(settled[i], stands) {
				t.Errorf("%d got %+v, but %+v stands", i, settled[i], stands)
			}
		}
		if winners != 1 {
			t.Errorf("applied %d times", winners)
		}
		wantCounts(t, s, counts{All: 1, Final: 1})
		taken := mustGet[[]*faas.Invocation](t)(s.TakeExpired(t.Context(), "g2", now().Add(time.Hour), now().Add(2*time.Hour), 10))
		if len(taken) != 0 {
			t.Errorf("still in the queue: %+v", taken)
		}
	})
}

func TestSettleMakesTheRecordIfNeedBe(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		inv := newInvocation(t, "f", "tr", faas.Succeeded)
		settled, applied, err := s.Settle(t.Context(), inv)
		must(t, err)
		if !applied || !reflect.DeepEqual(settled, inv) {
			t.Errorf("applied %v, settled %+v", applied, settled)
		}
		_, _, err = s.Settle(t.Context(), newInvocation(t, "f", "tr", faas.Running))
		wantKind(t, err, faas.Internal)
		wantCounts(t, s, counts{All: 1, Final: 1})
	})
}

func TestARepeatedSettleIsAppliedStill(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		one := []*faas.Invocation{newInvocation(t, "f", "tr", faas.Succeeded)}
		for range 3 { // as the client does when an answer got lost
			args, err := s.writeArgs("the-request", one)
			must(t, err)
			code, _, err := readReply(s.eval(t.Context(), settleLua, s.writeKeys(one), args...).Slice())
			must(t, err)
			if code != "ok" {
				t.Errorf("got %q", code)
			}
			_, err = s.UpdateInvocation(t.Context(), one[0].ID, func(i *faas.Invocation) error { // as others do meanwhile
				i.Inner.LogSize++
				return nil
			})
			must(t, err)
		}
		if got := find(t, s, one[0].ID); got.Inner.LogSize != 3 {
			t.Errorf("a repeated request undid what came after it: %+v", got.Inner)
		}
		wantCounts(t, s, counts{All: 1, Final: 1})
	})
}

func TestWhoMaySettle(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		inv := newInvocation(t, "f", "tr", faas.Running)
		must(t, s.Enqueue(t.Context(), inv, now()))
		taken := mustGet[[]*faas.Invocation](t)(s.TakeExpired(t.Context(), "g2", now(), now().Add(time.Minute), 10))
		if len(taken) != 1 || taken[0].Inner.Gateway != "g2" {
			t.Fatalf("taken: %+v", taken)
		}
		_, _, err := s.Settle(t.Context(), ended(inv, faas.Failed)) // by the former leader, which was suspended
		wantKind(t, err, faas.Conflict)
		if fault, ok := errors.AsType[*faas.Error](err); !ok || fault.Invocation == nil || fault.Invocation.State != faas.Running {
			t.Errorf("the error does not hold the stored record: %+v", err)
		}
		saveInvocation(t, s, ended(inv, faas.Failed))
		if got := find(t, s, inv.ID); got.State != faas.Running || got.Inner.Gateway != "g2" {
			t.Errorf("a stale write went through: %+v", got)
		}
		_, err = s.UpdateInvocation(t.Context(), inv.ID, func(i *faas.Invocation) error {
			i.Attempt++
			i.State = faas.Queued
			return nil
		})
		must(t, err)
		_, _, err = s.Settle(t.Context(), ended(taken[0], faas.Succeeded)) // by its leader, but of an earlier attempt
		wantKind(t, err, faas.Conflict)
		mine := ended(find(t, s, inv.ID), faas.Succeeded)
		mine.Inner.Gateway = "" // as when a runner reports the end, whichever gateway leads
		_, applied, err := s.Settle(t.Context(), mine)
		must(t, err)
		if !applied {
			t.Error("not applied")
		}
	})
}

// Each record has exactly one state at every instant, and becomes final exactly once.
func TestConservationAtEveryInstant(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const writers, rounds = 8, 25
		stores := []*Store{srv.bare(t), srv.bare(t)}
		stores[0].running(t)
		messages, cancel := stores[0].Subscribe()
		defer cancel()
		errs := make([]error, writers+1)
		left := make(chan struct{}, writers)
		together(writers+1, func(w int) {
			if w == writers {
				errs[w] = watchCounts(t, stores[0], left, writers)
				return
			}
			defer func() { left <- struct{}{} }()
			for i := range rounds {
				errs[w] = errors.Join(errs[w], live(t, stores[(w+i)%2], i))
			}
		})
		for _, err := range errs {
			must(t, err)
		}
		wantFinalOnce(t, messages, writers*rounds)
		const deleted = writers * (rounds / 4) // every fourth way deletes the record
		wantCounts(t, stores[0], counts{All: writers*rounds - deleted, Final: writers*rounds - deleted})
	})
}

// wantFinalOnce reads messages until that many invocations became final, and checks that none became final twice.
func wantFinalOnce(t *testing.T, messages <-chan Message, invocations int) {
	t.Helper()
	final := map[faas.InvocationID]int{}
	for len(final) < invocations {
		if m := await(t, messages, KindInvocation); m.State.Final() {
			final[m.Invocation]++
		}
	}
	for {
		select {
		case m := <-messages:
			if m.Kind == KindInvocation && m.State.Final() {
				final[m.Invocation]++
			}
			continue
		default:
		}
		break
	}
	for id, times := range final {
		if times != 1 {
			t.Errorf("%s became final %d times", id, times)
		}
	}
}

func watchCounts(t *testing.T, s *Store, left <-chan struct{}, writers int) error {
	for writers > 0 {
		select {
		case <-left:
			writers--
		default:
		}
		got, err := count(t.Context(), s)
		if err != nil {
			return err
		}
		if !got.conserved() {
			return fmt.Errorf("the indexes have %+v", got)
		}
	}
	return nil
}

// live writes an invocation from its start to its end, in one of four ways.
func live(t *testing.T, s *Store, way int) error {
	ctx, inv := t.Context(), newInvocation(t, "f", "tr", faas.Queued)
	running := inv.Clone()
	running.State = faas.Running
	over := ended(inv, faas.Failed)
	switch way % 4 {
	case 0:
		return s.SaveInvocations(ctx, []*faas.Invocation{inv, running, over, running})
	case 1:
		_, _, err := s.Settle(ctx, over)
		return err
	case 2:
		err := s.Enqueue(ctx, inv, now().Add(time.Minute))
		_, errUpdate := s.UpdateInvocation(ctx, inv.ID, func(i *faas.Invocation) error { i.State = faas.Starting; return nil })
		_, _, errSettle := s.Settle(ctx, over)
		return errors.Join(err, errUpdate, errSettle)
	default:
		err := s.SaveInvocations(ctx, []*faas.Invocation{running})
		_, errUpdate := s.UpdateInvocation(ctx, inv.ID, func(i *faas.Invocation) error { // a retry
			i.Attempt, i.State = 2, faas.Queued
			return nil
		})
		again := over.Clone()
		again.Attempt = 2
		_, _, errSettle := s.Settle(ctx, again)
		return errors.Join(err, errUpdate, errSettle, s.DeleteInvocation(ctx, inv.ID, time.Time{}))
	}
}
