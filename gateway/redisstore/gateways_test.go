package redisstore

import (
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// at returns a store whose clock is ahead by that duration.
func (srv server) at(t *testing.T, ahead time.Duration) *Store {
	t.Helper()
	s := srv.bare(t)
	s.now = func() time.Time { return time.Now().Add(ahead) }
	return s
}

func TestGatewaysLiveWhileTheyBeat(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		a, b := Gateway{ID: "a", RunnerAddr: "10.0.0.1:8082", Applied: 7}, Gateway{ID: "b"}
		must(t, s.Beat(t.Context(), b))
		must(t, s.Beat(t.Context(), a))
		if live := mustGet[[]Gateway](t)(s.LiveGateways(t.Context())); !slices.Equal(live, []Gateway{a, b}) {
			t.Errorf("live: %+v", live)
		}
		if live := mustGet[[]Gateway](t)(srv.at(t, 2*time.Second).LiveGateways(t.Context())); len(live) != 2 {
			t.Errorf("after 2 s: %+v", live)
		}
		later := srv.at(t, 4*time.Second)
		if live := mustGet[[]Gateway](t)(later.LiveGateways(t.Context())); len(live) != 0 {
			t.Errorf("after 4 s: %+v", live)
		}
		must(t, s.Leave(t.Context(), "b"))
		must(t, s.Leave(t.Context(), "b"))
		if live := mustGet[[]faas.GatewayID](t)(s.LiveGatewayIDs(t.Context())); !slices.Equal(live, []faas.GatewayID{"a"}) {
			t.Errorf("b has left: %+v", live)
		}
		must(t, srv.at(t, 2*time.Minute).Beat(t.Context(), b))
		if n := mustGet[int64](t)(s.client.HLen(t.Context(), s.keys.gateways()).Result()); n != 1 {
			t.Errorf("%d entries are kept of one gateway", n)
		}
	})
}

func TestGatewaysTellOfThemselves(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		s.running(t)
		messages, cancel := s.Subscribe()
		defer cancel()
		g := Gateway{ID: "a", RunnerAddr: "h:1", Applied: 7}
		must(t, s.Beat(t.Context(), g))
		if m := await(t, messages, KindPeers); m.Gateway != "a" {
			t.Errorf("joined: %+v", m)
		}
		if m := await(t, messages, KindApplied); m.Gateway != "a" || m.Version != 7 {
			t.Errorf("applied: %+v", m)
		}
		must(t, s.Beat(t.Context(), g)) // no change
		g.Applied = 8
		must(t, s.Beat(t.Context(), g))
		if m := <-messages; m.Kind != KindApplied || m.Version != 8 {
			t.Errorf("applied: %+v", m)
		}
		g.RunnerAddr = "h:2"
		must(t, s.Beat(t.Context(), g))
		if m := <-messages; m.Kind != KindPeers {
			t.Errorf("moved: %+v", m)
		}
		must(t, s.Leave(t.Context(), "a"))
		if m := <-messages; m.Kind != KindPeers || m.Gateway != "a" {
			t.Errorf("left: %+v", m)
		}
	})
}

func TestAwaitApplied(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		s.running(t)
		must(t, s.AwaitApplied(t.Context(), 5, time.Minute)) // there is no gateway to wait for
		must(t, s.Beat(t.Context(), Gateway{ID: "a", Applied: 5}))
		must(t, s.Beat(t.Context(), Gateway{ID: "b", Applied: 4}))
		must(t, s.Beat(t.Context(), Gateway{ID: "c", Applied: 1}))
		err := s.AwaitApplied(t.Context(), 5, 20*time.Millisecond)
		wantKind(t, err, faas.Unavailable)
		if !strings.Contains(err.Error(), "b, c") {
			t.Errorf("got %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- s.AwaitApplied(t.Context(), 5, time.Minute) }()
		must(t, s.Beat(t.Context(), Gateway{ID: "b", Applied: 6}))
		must(t, s.Leave(t.Context(), "c"))
		must(t, <-done)
	})
}

// A gateway that dies sends no message. It no longer counts once its heartbeat is old.
func TestAwaitAppliedDoesNotWaitForTheDead(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		must(t, srv.at(t, -liveFor+200*time.Millisecond).Beat(t.Context(), Gateway{ID: "dying"}))
		testenv.Returns(t, 20*time.Second, "AwaitApplied", func() { must(t, s.AwaitApplied(t.Context(), 5, time.Minute)) })
	})
}
