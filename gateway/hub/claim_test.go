package hub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/park/parktest"
)

func job(id faas.RunnerID, inv faas.InvocationID) task.Hello {
	h := hello(id, faas.StartJob, 1)
	h.Invocation = inv
	return h
}

func single(l *parktest.Ledger) *parktest.Worker {
	w := parktest.NewWorker(1, l.Add)
	w.Single = true
	return w
}

func TestClaimMatches(t *testing.T) {
	g := newGateway(t, "g1")
	l := parktest.NewLedger()
	mine, other := newID(t), newID(t)
	newRunner(t, job("job", mine), single(l), g.address)
	newRunner(t, hello("standby", faas.StartStandby, 1), single(l), g.address)
	newRunner(t, hello("warm", faas.StartWarm, 2), parktest.NewWorker(2, l.Add), g.address)
	testenv.Eventually(t, "all slots are parked", func() bool {
		n := g.Slots(ref)
		return n[faas.StartJob].Free == 1 && n[faas.StartStandby].Free == 1 && n[faas.StartWarm].Free == 2
	})
	all := []faas.Start{faas.StartStandby, faas.StartWarm, faas.StartJob}
	for _, tt := range []struct {
		name   string
		want   hub.Want
		runner faas.RunnerID
	}{
		{"another function", hub.Want{Ref: faas.RevisionRef{Function: "other", Number: 3}, Invocation: mine, Starts: all}, ""},
		{"another revision", hub.Want{Ref: faas.RevisionRef{Function: ref.Function, Number: 4}, Invocation: mine, Starts: all}, ""},
		{"no start", hub.Want{Ref: ref, Invocation: mine}, ""},
		{"another's job", hub.Want{Ref: ref, Invocation: other, Starts: []faas.Start{faas.StartJob}}, ""},
		{"its own job", hub.Want{Ref: ref, Invocation: mine, Starts: []faas.Start{faas.StartJob}}, "job"},
		{"the first start", hub.Want{Ref: ref, Invocation: other, Starts: all}, "standby"},
		{"the job's own, but not first", hub.Want{Ref: ref, Invocation: mine, Starts: []faas.Start{faas.StartWarm, faas.StartJob}}, "warm"},
		{"the next start", hub.Want{Ref: ref, Invocation: other, Starts: []faas.Start{faas.StartJob, faas.StartWarm}}, "warm"},
	} {
		s := g.TryClaim(tt.want)
		if s == nil {
			if tt.runner != "" {
				t.Errorf("%s: none", tt.name)
			}
			continue
		}
		if got := s.Runner(); got.Runner != tt.runner || got.Ref() != ref {
			t.Errorf("%s: %q, want %q", tt.name, got.Runner, tt.runner)
		}
		s.Release()
		s.Release()
	}
	if got, want := g.Slots(ref)[faas.StartWarm], (faas.SlotCounts{Runners: 1, Free: 2}); got != want {
		t.Errorf("after all was released: %+v, want %+v", got, want)
	}
}

func TestClaimOrder(t *testing.T) {
	g := newGateway(t, "g1")
	const callers = 20
	var (
		mu    sync.Mutex
		order []int
		group sync.WaitGroup
	)
	for i := range callers {
		waiting := g.Waiting(ref)
		group.Go(func() {
			id := newID(t)
			s := g.claim(t, warm(id))
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			s.Release()
		})
		testenv.Eventually(t, "the claim waits", func() bool { return g.Waiting(ref) == waiting+1 })
	}
	newRunner(t, hello("r1", faas.StartWarm, 1), parktest.NewWorker(1, parktest.NewLedger().Add), g.address)
	group.Wait()
	if !slices.IsSorted(order) || len(order) != callers {
		t.Errorf("served in the order %v", order)
	}
	if n := g.Waiting(ref); n != 0 {
		t.Errorf("%d wait", n)
	}
}

func TestClaimEnds(t *testing.T) {
	g := newGateway(t, "g1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := g.Claim(ctx, warm(newID(t)))
		done <- err
	}()
	testenv.Eventually(t, "the claim waits", func() bool { return g.Waiting(ref) == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n := g.Waiting(ref); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// Whoever gave up at the moment of being served leaves the slot to the next.
func TestClaimGivesWay(t *testing.T) {
	g := newGateway(t, "g1")
	newRunner(t, hello("r1", faas.StartWarm, 1), parktest.NewWorker(1, parktest.NewLedger().Add), g.address)
	for range 200 {
		s := g.claim(t, warm(newID(t)))
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if s, err := g.Claim(ctx, warm(newID(t))); err == nil {
				s.Release()
			}
		})
		group.Go(cancel)
		group.Go(s.Release)
		group.Wait()
	}
	g.claim(t, warm(newID(t))).Release()
	if got, want := g.Slots(ref)[faas.StartWarm], (faas.SlotCounts{Runners: 1, Free: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The runner that was used last is used next: its caches are warm.
func TestClaimLastUsed(t *testing.T) {
	g := newGateway(t, "g1")
	for i := range 3 {
		newRunner(t, hello(faas.RunnerID(fmt.Sprint("r", i)), faas.StartWarm, 1), parktest.NewWorker(1, parktest.NewLedger().Add), g.address)
	}
	testenv.Eventually(t, "all slots are parked", func() bool { return g.Slots(ref)[faas.StartWarm].Free == 3 })
	a, b := g.claim(t, warm(newID(t))), g.claim(t, warm(newID(t)))
	first := a.Runner().Runner
	b.Release()
	a.Release()
	for range 5 {
		s := g.claim(t, warm(newID(t)))
		if got := s.Runner().Runner; got != first {
			t.Fatalf("claimed %s, want %s", got, first)
		}
		s.Release()
	}
}

// A connection that died while it was parked is not handed out.
func TestClaimSkipsDead(t *testing.T) {
	g := newGateway(t, "g1")
	w := parktest.NewWorker(4, parktest.NewLedger().Add)
	p := newProxy(t, g.address)
	newRunner(t, hello("r1", faas.StartWarm, 4), w, p.address)
	testenv.Eventually(t, "all slots are parked", func() bool { return g.Slots(ref)[faas.StartWarm].Free == 4 })
	for range 50 {
		var control *cut
		p.mu.Lock()
		for c := range p.live {
			if control == nil || c.dial < control.dial {
				control = c
			}
		}
		p.mu.Unlock()
		p.sever(func(c *cut) bool { return c != control })
		id := newID(t)
		a, err := g.claim(t, warm(id)).Invoke(t.Context(), newTask(id), hub.Body{Small: []byte("x")}, nil)
		switch {
		case errors.Is(err, hub.ErrRefused): // it died after it was claimed
		case err != nil && !errors.Is(err, hub.ErrNotRun) && !errors.Is(err, hub.ErrInDoubt):
			t.Fatal(err)
		case err == nil:
			readAll(t, a)
		}
		if c, ok := w.Find(id); ok {
			c.Ack()
		}
	}
}

// Slots that another gateway has are not offered; when they are free again they are.
func TestClaimKnowsOthers(t *testing.T) {
	g1, g2 := newGateway(t, "g1"), newGateway(t, "g2")
	w := parktest.NewWorker(1, parktest.NewLedger().Add)
	w.Gate = make(chan struct{})
	newRunner(t, hello("r1", faas.StartWarm, 1), w, g1.address, g2.address)
	for _, g := range []*gateway{g1, g2} {
		testenv.Eventually(t, "the slot is parked", func() bool { return g.Slots(ref)[faas.StartWarm].Free == 1 })
	}
	id := newID(t)
	var group sync.WaitGroup
	group.Go(func() {
		a, err := g1.invoke(context.Background(), warm(id), hub.Body{Small: []byte("x")})
		if err != nil {
			t.Error(err)
			return
		}
		readAll(t, a)
	})
	g2.until(t, "the other gateway hears", func() bool { return g2.happened(task.EventTaken, id) || g2.happened(task.EventRunning, id) })
	if s := g2.TryClaim(warm(newID(t))); s != nil {
		t.Error("a slot was offered that another gateway has")
	}
	if got, want := g2.Slots(ref)[faas.StartWarm], (faas.SlotCounts{Runners: 1, Busy: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if holder, ok := g2.Owner(id); !ok || holder != "r1" {
		t.Errorf("holder %q, %v", holder, ok)
	}
	close(w.Gate)
	group.Wait()
	s := g2.claim(t, warm(newID(t)))
	s.Release()
}

func TestDrainingOffersNothing(t *testing.T) {
	g := newGateway(t, "g1")
	r := newRunner(t, hello("r1", faas.StartWarm, 2), parktest.NewWorker(2, parktest.NewLedger().Add), g.address)
	testenv.Eventually(t, "all slots are parked", func() bool { return g.Slots(ref)[faas.StartWarm].Free == 2 })
	if err := g.Drain(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	if s := g.TryClaim(warm(newID(t))); s != nil {
		t.Error("a draining runner's slot was offered")
	}
	if err := r.over(t); err != nil {
		t.Errorf("the runner ended with %v", err)
	}
	g.until(t, "the runner left", func() bool { return len(g.left["r1"]) == 1 })
	if err := g.Drain(t.Context(), "r1"); !errors.Is(err, hub.ErrAway) {
		t.Errorf("drain of a runner that is gone: %v", err)
	}
	if n := g.Runners(); len(n) != 0 {
		t.Errorf("runners %+v", n)
	}
}

// Many claims at once on several runners: each slot has one user at a time.
func TestClaimExclusive(t *testing.T) {
	g := newGateway(t, "g1")
	const runners, slots, callers, calls = 3, 2, 16, 100
	for i := range runners {
		newRunner(t, hello(faas.RunnerID(fmt.Sprint("r", i)), faas.StartWarm, slots), parktest.NewWorker(slots, parktest.NewLedger().Add), g.address)
	}
	var (
		mu    sync.Mutex
		using = map[faas.RunnerID]int{}
		group sync.WaitGroup
	)
	for range callers {
		group.Go(func() {
			for range calls {
				s := g.claim(t, warm(newID(t)))
				r := s.Runner().Runner
				mu.Lock()
				if using[r]++; using[r] > slots {
					t.Errorf("%s has %d users", r, using[r])
				}
				mu.Unlock()
				runtime.Gosched() // others claim while this one holds the slot
				mu.Lock()
				using[r]--
				mu.Unlock()
				s.Release()
			}
		})
	}
	group.Wait()
	if got, want := g.Slots(ref)[faas.StartWarm], (faas.SlotCounts{Runners: runners, Free: runners * slots}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
