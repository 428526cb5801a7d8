package hub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/park/parktest"
)

// The connection of a call is cut after each number of bytes, in either direction: the error says the truth about
// whether the call ran.
func TestCutAtEveryByte(t *testing.T) {
	const up, down, workers, stride = 600, 1200, 8, int64(2) // up and down: more than a whole call has
	points := make(chan *cut)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for c := range points {
				cutOnce(t, c.up, c.down)
			}
		})
	}
	for at := rand.Int64N(stride); at < up; at += stride {
		points <- &cut{up: at, down: -1}
	}
	for at := rand.Int64N(stride); at < down; at += stride {
		points <- &cut{up: -1, down: at}
	}
	close(points)
	group.Wait()
}

func cutOnce(t *testing.T, up, down int64) {
	stream := (up+down)%4 < 2
	name := fmt.Sprintf("up %d, down %d, stream %v", up, down, stream)
	g := quietGateway(t, "g1")
	defer g.stop()
	p := newProxy(t, g.address)
	defer p.stop()
	var spoiled sync.Once
	p.make(func(c *cut) {
		if c.slot {
			spoiled.Do(func() { c.up, c.down, c.call = up, down, true })
		}
	})
	l := parktest.NewLedger()
	w := parktest.NewWorker(1, l.Add)
	r := newRunner(t, hello("r1", faas.StartWarm, 1), w, p.address)
	defer r.stop() //nolint:errcheck // told by the test

	id, input := newID(t), strings.Repeat("input", 20)
	body := hub.Body{Small: []byte(input)}
	if stream {
		body = hub.Body{Stream: strings.NewReader(input), Size: int64(len(input))}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := g.Claim(ctx, warm(id))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	a, err := s.Invoke(ctx, newTask(id), body, nil)
	if err := judge(ctx, g, w, l, id, input, a, err); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if c, ok := w.Find(id); ok {
		c.Ack()
	}
}

// judge holds what Invoke said against the ledger, and attaches where that is the way.
func judge(ctx context.Context, g *gateway, w *parktest.Worker, l *parktest.Ledger, id faas.InvocationID, input string, a *hub.Answer, err error) error {
	if err == nil {
		var got []byte
		got, err = io.ReadAll(a.Body)
		_ = a.Body.Close()
		if err == nil {
			if string(got) != input || l.Ran(id) != 1 {
				return fmt.Errorf("answered %d bytes, ran %d times", len(got), l.Ran(id))
			}
			return nil
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || l.Ran(id) != 1 {
			return fmt.Errorf("the result broke with %w, ran %d times", err, l.Ran(id))
		}
		err = hub.ErrInDoubt
	}
	if !errors.Is(err, hub.ErrInDoubt) {
		if !errors.Is(err, hub.ErrRefused) && !errors.Is(err, hub.ErrNotRun) {
			return fmt.Errorf("error %w", err)
		}
		w.Settled(ctx)
		if n := l.Ran(id); n != 0 {
			return fmt.Errorf("error %w, ran %d times", err, n)
		}
		return nil
	}
	for {
		a, err = g.Attach(ctx, id)
		if errors.Is(err, hub.ErrGone) {
			w.Settled(ctx)
			if n := l.Ran(id); n != 0 {
				return fmt.Errorf("in doubt, then gone, ran %d times", n)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		got, err := io.ReadAll(a.Body)
		_ = a.Body.Close()
		switch {
		case err != nil:
			continue // its connection was cut, too
		case string(got) != input || l.Ran(id) != 1:
			return fmt.Errorf("in doubt, then answered %d bytes, ran %d times", len(got), l.Ran(id))
		}
		return nil
	}
}

// Two gateways race for the slots of some runners while their connections are cut, slowed down and left half open:
// whatever happens, each invocation runs at most once, and exactly once when anybody is told that it ran.
func TestClaimUnderFire(t *testing.T) {
	for range 30 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		f := &fire{t: t, seed: seed, runners: 1 + r.IntN(3), slots: 1 + r.IntN(3), callers: 2 + r.IntN(9), cuts: r.IntN(30)}
		f.run()
		for _, fault := range f.faults {
			t.Errorf("seed %d: %s", seed, fault)
		}
	}
}

// fire is one run of the property test.
type fire struct {
	t                             *testing.T
	runners, slots, callers, cuts int
	seed                          uint64
	gateways                      [2]*gateway
	workers                       map[faas.RunnerID]*parktest.Worker
	ledger                        *parktest.Ledger
	mu                            sync.Mutex
	random                        *rand.Rand
	faults                        []string
}

func (f *fire) run() {
	f.random = rand.New(rand.NewPCG(f.seed, 1))
	f.ledger, f.workers = parktest.NewLedger(), map[faas.RunnerID]*parktest.Worker{}
	var proxies [2]*proxy
	for i := range f.gateways {
		f.gateways[i] = quietGateway(f.t, faas.GatewayID(fmt.Sprint("g", i)))
		defer f.gateways[i].stop()
		proxies[i] = newProxy(f.t, f.gateways[i].address)
		defer proxies[i].stop()
		proxies[i].make(f.plan)
	}
	for i := range f.runners {
		id := faas.RunnerID(fmt.Sprint("r", i))
		w := parktest.NewWorker(f.slots, f.ledger.Add)
		f.workers[id] = w
		r := newRunner(f.t, hello(id, faas.StartWarm, f.slots), w, proxies[0].address, proxies[1].address)
		defer r.stop() //nolint:errcheck // told by the test
	}
	var group sync.WaitGroup
	for c := range f.callers {
		group.Go(func() {
			for range 10 {
				if err := f.call(f.gateways[c%2], f.gateways[(c+1)%2]); err != nil {
					f.mu.Lock()
					f.faults = append(f.faults, err.Error())
					f.mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	for id, n := range f.ledger.All() {
		if n != 1 {
			f.faults = append(f.faults, fmt.Sprintf("%s ran %d times", id, n))
		}
	}
}

// plan decides what happens to a connection.
func (f *fire) plan(c *cut) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.IntN(100) >= f.cuts {
		return
	}
	at := 100 + f.random.Int64N(1<<f.random.IntN(14)+1)
	if f.random.IntN(2) == 0 {
		c.up = at
	} else {
		c.down = at
	}
	c.half = f.random.IntN(20) == 0
	c.delay = time.Duration(f.random.IntN(3)) * time.Millisecond
}

// call does as a dispatcher does, until the call has ended.
func (f *fire) call(g, other *gateway) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	id, err := faas.NewInvocationID()
	if err != nil {
		return err
	}
	f.mu.Lock()
	input := strings.Repeat("x", f.random.IntN(3000))
	stream := f.random.IntN(2) == 0
	f.mu.Unlock()
	for {
		s, err := g.Claim(ctx, warm(id))
		if err != nil {
			return err
		}
		w := f.workers[s.Runner().Runner]
		body := hub.Body{Small: []byte(input)}
		if stream {
			body = hub.Body{Stream: strings.NewReader(input), Size: -1}
		}
		a, err := s.Invoke(ctx, newTask(id), body, nil)
		if errors.Is(err, hub.ErrRefused) || errors.Is(err, hub.ErrNotRun) {
			continue // nothing ran, so again
		}
		attach := g // knows whom to ask; another one only when it has heard of the call
		if _, held := other.Owner(id); held && len(input)%2 == 0 {
			attach = other
		}
		if err := judge(ctx, attach, w, f.ledger, id, input, a, err); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		if f.ledger.Ran(id) == 0 {
			continue // in doubt, and it turned out that nothing ran
		}
		if err := attach.Ack(ctx, id); err != nil && !errors.Is(err, hub.ErrAway) && !errors.Is(err, hub.ErrGone) {
			return fmt.Errorf("%s: %w", id, err)
		}
		return nil
	}
}

// A call that is refused or did not run may be sent to the same runner again at once.
func TestAgainAtOnce(t *testing.T) {
	g := newGateway(t, "g1")
	l := parktest.NewLedger()
	newRunner(t, hello("r1", faas.StartWarm, 1), parktest.NewWorker(1, l.Add), g.address)
	id := newID(t)
	no := errors.New("not yet")
	for range 20 {
		_, err := g.claim(t, warm(id)).Invoke(t.Context(), newTask(id), hub.Body{Small: []byte("x")}, func(context.Context) error { return no })
		if !errors.Is(err, no) && !errors.Is(err, hub.ErrRefused) {
			t.Fatal(err)
		}
	}
	a, err := g.invoke(t.Context(), warm(id), hub.Body{Small: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, a); got != "x" || l.Ran(id) != 1 {
		t.Errorf("body %q, ran %d times", got, l.Ran(id))
	}
	g.until(t, "it has ended", func() bool { return g.happened(task.EventEnded, id) })
}
