package redisstore

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/internal/faas"
)

// led is the result of ShareDemand.
type led struct {
	term   int64
	others []faas.Demand
}

func share(t *testing.T, s *Store, gateway faas.GatewayID, own ...faas.Demand) led {
	t.Helper()
	term, others, err := s.ShareDemand(t.Context(), gateway, own, 4*time.Second)
	must(t, err)
	slices.SortFunc(others, func(a, b faas.Demand) int { return a.Waiting - b.Waiting })
	return led{term, others}
}

func (l led) is(t *testing.T, what string, term int64, others ...faas.Demand) {
	t.Helper()
	if l.term != term || !slices.Equal(l.others, others) {
		t.Errorf("%s: term %d, others %+v, want %d and %+v", what, l.term, l.others, term, others)
	}
}

func TestOneGatewayLeads(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		one, two := faas.Demand{Function: "f", Revision: 1, Waiting: 1}, faas.Demand{Function: "f", Revision: 2, Waiting: 2, Pins: 1}
		share(t, s, "a").is(t, "a comes first", 1)
		share(t, s, "b", one).is(t, "a leads", 0)
		share(t, s, "c", two).is(t, "a leads", 0)
		share(t, s, "a", two).is(t, "a leads still", 1, one, two)
		share(t, s, "b").is(t, "b wants nothing more", 0)
		share(t, s, "a").is(t, "what b wanted is gone", 1, two)

		share(t, srv.at(t, 2*time.Second), "b").is(t, "the lead is not over", 0)
		later := srv.at(t, 5*time.Second)
		share(t, later, "b", one).is(t, "a was silent", 2)
		share(t, s, "a").is(t, "a, which thought that it leads", 0)
		must(t, s.LeaveLead(t.Context(), "a"))
		share(t, later, "b").is(t, "another's leaving is none", 2)
		must(t, s.LeaveLead(t.Context(), "b"))
		share(t, later, "c").is(t, "b has left", 3)
		share(t, srv.at(t, time.Minute), "c").is(t, "c, after its lead was over", 4)
	})
}

// TestNoTwoLead: of many gateways that take the lead at the same time, one gets it.
func TestNoTwoLead(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		for range 20 {
			var leaders atomic.Int64
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					term, _, err := s.ShareDemand(context.WithoutCancel(t.Context()), faas.GatewayID(rune('a'+i)), nil, time.Minute)
					if err != nil {
						t.Error(err)
					}
					if term > 0 {
						leaders.Add(1)
					}
				})
			}
			wg.Wait()
			if n := leaders.Load(); n != 1 {
				t.Fatalf("%d gateways lead", n)
			}
			for i := range 8 {
				must(t, s.LeaveLead(t.Context(), faas.GatewayID(rune('a'+i))))
			}
		}
	})
}

func TestTheLeaderIsTold(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		s.running(t)
		messages, cancel := s.Subscribe()
		defer cancel()
		share(t, s, "a")
		wants := faas.Demand{Function: "f", Revision: 1, Waiting: 1}
		share(t, s, "b", wants)
		share(t, s, "b", wants) // no change
		must(t, s.PublishExit(t.Context(), `{"detail": "in  words"}`))
		share(t, s, "b")
		must(t, s.LeaveLead(t.Context(), "b"))
		must(t, s.LeaveLead(t.Context(), "a"))
		for _, want := range []Message{
			{Kind: KindDemand, Gateway: "b"},
			{Kind: KindExit, Text: `{"detail": "in  words"}`},
			{Kind: KindDemand, Gateway: "b"},
			{Kind: KindLead},
		} {
			m := await(t, messages, want.Kind)
			if m != want {
				t.Errorf("told %+v, want %+v", m, want)
			}
		}
		select {
		case m := <-messages:
			t.Errorf("told %+v as well", m)
		default:
		}
	})
}
