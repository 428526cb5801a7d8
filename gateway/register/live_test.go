package register_test

import (
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestAnAnsweredRegistrationIsServedEverywhere(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		a, b := s.start(t, 0), s.start(t, 0)
		for i := range faas.RevisionNumber(5) {
			if a.put(t, "f", "x"); b.live(t, "f") != i+1 {
				t.Fatalf("the other gateway serves revision %d of %d", b.live(t, "f"), i+1)
			}
		}
		a.putTrigger(t, "t", "f", "/t")
		if _, err := b.catalog.Match("GET", "/t"); err != nil {
			t.Fatal(err)
		}
		if err := b.DeleteTrigger(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		_, err := a.catalog.Match("GET", "/t")
		wantKind(t, err, faas.NotFound)
	})
}

func TestADeadGatewayDoesNotDelayRegistrations(t *testing.T) {
	s := newEmbeddedSite(t)
	a, b := s.start(t, 0), s.start(t, 0)
	b.lingers = true
	b.stop()
	testenv.Returns(t, 4*time.Second, "the registration", func() { a.put(t, "f", "x") })
}
