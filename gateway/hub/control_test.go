package hub_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/park"
	"davit/runner/park/parktest"
)

// held starts a call on g1 that runs until the worker's gate is opened, and returns when g2 knows of it.
func held(t *testing.T, g1, g2 *gateway) (id faas.InvocationID, wait func() (*hub.Answer, error)) {
	t.Helper()
	id = newID(t)
	type end struct {
		a   *hub.Answer
		err error
	}
	ended := make(chan end, 1)
	go func() {
		a, err := g1.invoke(context.Background(), warm(id), hub.Body{Small: []byte("input")})
		ended <- end{a, err}
	}()
	g2.until(t, "the call runs", func() bool { return g2.happened(task.EventRunning, id) })
	return id, func() (*hub.Answer, error) { e := <-ended; return e.a, e.err }
}

// A gateway that never saw the call has its log, its outcome and its result.
func TestControl(t *testing.T) {
	g1, g2 := newGateway(t, "g1"), newGateway(t, "g2")
	l := parktest.NewLedger()
	w := parktest.NewWorker(1, l.Add)
	w.Gate = make(chan struct{})
	newRunner(t, hello("r1", faas.StartWarm, 1), w, g1.address, g2.address)
	id, wait := held(t, g1, g2)

	var group sync.WaitGroup
	for _, g := range []*gateway{g1, g2} {
		group.Go(func() {
			a, err := g.Attach(context.Background(), id)
			if err != nil {
				t.Error(err)
				return
			}
			if got := readAll(t, a); got != "input" || a.Outcome.Runner != "r1" || a.Kind != "zip" {
				t.Errorf("attached: %q, %+v", got, a)
			}
		})
	}
	if err := g2.Keep(t.Context(), id); err != nil || w.Kept() != 1 {
		t.Errorf("keep: %v, %d", err, w.Kept())
	}
	log, err := g2.Log(t.Context(), id, 4, false)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(log); err != nil || string(b) != "of "+string(id) {
		t.Errorf("log %q, %v", b, err)
	}
	_ = log.Close()
	log, err = g2.Log(t.Context(), id, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, len("log of "+string(id)))
	if _, err := io.ReadFull(log, head); err != nil {
		t.Fatal(err)
	}

	close(w.Gate)
	if b, err := io.ReadAll(log); err != nil || string(b) != ", ended" {
		t.Errorf("the rest of the log: %q, %v", b, err)
	}
	_ = log.Close()
	a, err := wait()
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, a); got != "input" {
		t.Errorf("body %q", got)
	}
	group.Wait()
	if n := l.Ran(id); n != 1 {
		t.Errorf("ran %d times", n)
	}

	if err := g2.Ack(t.Context(), id); err != nil || w.Acked() != 1 {
		t.Errorf("acknowledge: %v, %d", err, w.Acked())
	}
	for what, do := range map[string]func() error{
		"attach":      func() error { _, err := g1.Attach(t.Context(), id); return err },
		"acknowledge": func() error { return g2.Ack(t.Context(), id) },
	} {
		if err := do(); !errors.Is(err, hub.ErrGone) {
			t.Errorf("%s after the acknowledgement: %v", what, err)
		}
	}
	for what, do := range map[string]func() error{
		"log":    func() error { _, err := g2.Log(t.Context(), id, 0, true); return err },
		"cancel": func() error { return g2.Cancel(t.Context(), id) },
	} {
		if err := do(); !errors.Is(err, hub.ErrAway) {
			t.Errorf("%s of what nobody holds: %v", what, err)
		}
	}
}

func TestCancel(t *testing.T) {
	g1, g2 := newGateway(t, "g1"), newGateway(t, "g2")
	w := parktest.NewWorker(1, parktest.NewLedger().Add)
	w.Gate = make(chan struct{})
	newRunner(t, hello("r1", faas.StartWarm, 1), w, g1.address, g2.address)
	id, wait := held(t, g1, g2)
	if err := g2.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	a, err := wait()
	if err != nil || a.Outcome.Reason != faas.ReasonCancelled || a.Kind != "" {
		t.Errorf("answer %+v, error %v", a, err)
	}
}

// The gateway's process is gone: the runner goes on, and another gateway that comes up later learns what it holds, and
// attaches.
func TestAdopt(t *testing.T) {
	g1 := newGateway(t, "g1")
	l := parktest.NewLedger()
	w := parktest.NewWorker(1, l.Add)
	w.Gate = make(chan struct{})
	late := newProxy(t, "127.0.0.1:1")
	newRunner(t, hello("r1", faas.StartWarm, 1), w, g1.address, late.address)
	id, wait := held(t, g1, g1)
	g1.stop()
	if _, err := wait(); !errors.Is(err, hub.ErrInDoubt) {
		t.Errorf("error %v", err)
	}
	g2 := newGateway(t, "g2")
	late.lead(g2.address)
	ended := make(chan string)
	go func() {
		a, err := g2.Attach(context.Background(), id) // waits for the runner
		if err != nil {
			t.Error(err)
			close(ended)
			return
		}
		ended <- readAll(t, a)
	}()
	g2.until(t, "the runner joins", func() bool { return len(g2.joined["r1"]) > 0 })
	h := g2.joinedNow("r1")[0]
	if len(h.Owned) != 1 || h.Owned[0].Record.ID != id || h.Owned[0].Ended || h.Free != 0 {
		t.Errorf("hello %+v", h)
	}
	close(w.Gate)
	if got := <-ended; got != "input" || l.Ran(id) != 1 {
		t.Errorf("body %q, ran %d times", got, l.Ran(id))
	}
}

// The control connection breaks while a call runs: the runner leaves and joins again.
func TestControlBreaks(t *testing.T) {
	g := newGateway(t, "g1")
	p := newProxy(t, g.address)
	w := parktest.NewWorker(1, parktest.NewLedger().Add)
	w.Gate = make(chan struct{})
	newRunner(t, hello("r1", faas.StartWarm, 1), w, p.address)
	id, wait := held(t, g, g)
	p.sever(func(*cut) bool { return true })
	if _, err := wait(); !errors.Is(err, hub.ErrInDoubt) {
		t.Errorf("error %v", err)
	}
	g.until(t, "the runner joins again", func() bool { return len(g.joined["r1"]) == 2 })
	if left := g.leftNow("r1"); len(left) != 1 || len(left[0]) != 1 || left[0][0] != id {
		t.Errorf("left holding %v", left)
	}
	if h := g.joinedNow("r1")[1]; len(h.Owned) != 1 || h.Owned[0].Record.ID != id {
		t.Errorf("hello %+v", h)
	}
	close(w.Gate)
	a, err := g.Attach(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, a); got != "input" {
		t.Errorf("body %q", got)
	}
}

// Both ends notice within seconds when nothing passes any more.
func TestHalfOpenControl(t *testing.T) {
	inMemory(t, 1, func(t *testing.T, n *testenv.Network, g *gateway) {
		g.until(t, "the runner joins", func() bool { return len(g.joined["r1"]) == 1 })
		begun := time.Now()
		n.Freeze()
		g.until(t, "the runner left", func() bool { return len(g.left["r1"]) == 1 })
		g.until(t, "the runner joins again", func() bool { return len(g.joined["r1"]) == 2 })
		if took := time.Since(begun); took > 18*time.Second {
			t.Errorf("took %v", took)
		}
		g.claim(t, warm(newID(t))).Release()
	})
}

// Gateways tell runners of each other.
func TestPeers(t *testing.T) {
	g1, g2, g3 := newGateway(t, "g1"), newGateway(t, "g2"), newGateway(t, "g3")
	g1.SetPeers([]string{g1.address, g2.address})
	newRunner(t, hello("r1", faas.StartWarm, 1), parktest.NewWorker(1, parktest.NewLedger().Add), g1.address)
	g2.until(t, "the runner joins the second", func() bool { return len(g2.joined["r1"]) == 1 })
	g1.SetPeers([]string{g1.address, g2.address, g3.address})
	g1.SetPeers([]string{g1.address, g2.address, g3.address})
	g3.until(t, "the runner joins the third", func() bool { return len(g3.joined["r1"]) == 1 })
	for _, g := range []*gateway{g1, g2, g3} {
		g.claim(t, warm(newID(t))).Release()
	}
}

// Two addresses of one gateway are one gateway.
func TestAlias(t *testing.T) {
	inMemory(t, 2, func(t *testing.T, _ *testenv.Network, g *gateway) {
		<-time.After(10 * time.Second)
		joined := len(g.joinedNow("r1"))
		if free := g.Slots(ref)[faas.StartWarm].Free; joined == 0 || joined > 3 || free != 2 {
			t.Errorf("after 10 s: joined %d times, %d slots are free", joined, free)
		}
		<-time.After(5 * time.Minute)
		if n := len(g.joinedNow("r1")); n != joined {
			t.Errorf("joined %d times in 10 s, and %d times more in 5 minutes", joined, n-joined)
		}
	})
}

// inMemory runs a test in a bubble of synctest, with a gateway that has two addresses in a network and a warm runner r1
// that dials as many of them as it is to have.
func inMemory(t *testing.T, addresses int, test func(t *testing.T, n *testenv.Network, g *gateway)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &testenv.Network{}
		ln := n.Listen("10.0.0.1:1")
		n.Alias("10.0.0.2:1", ln)
		g := gatewayOn(t, "g1", logTo(t, "g1"), ln)
		runWith(t, park.Options{
			Hello: hello("r1", faas.StartWarm, addresses), Token: token, Gateways: []string{"10.0.0.1:1", "10.0.0.2:1"}[:addresses],
			Terms: park.Terms{Drain: 50 * time.Millisecond}, Dial: n.Dial,
		}, parktest.NewWorker(addresses, parktest.NewLedger().Add))
		test(t, n, g)
	})
}

func (g *gateway) joinedNow(r faas.RunnerID) []task.Hello {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.joined[r]
}

func (g *gateway) leftNow(r faas.RunnerID) [][]faas.InvocationID {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.left[r]
}

// What an invocation's runner says that it does not hold any more is gone, for those who wait, too.
func TestAttachGone(t *testing.T) {
	g := newGateway(t, "g1")
	p := newProxy(t, g.address)
	w := parktest.NewWorker(1, parktest.NewLedger().Add)
	w.Gate = make(chan struct{})
	newRunner(t, hello("r1", faas.StartWarm, 1), w, p.address)
	id, wait := held(t, g, g)
	p.lead("127.0.0.1:1") // away for now
	p.sever(func(*cut) bool { return true })
	_, _ = wait()
	g.until(t, "the runner left", func() bool { return len(g.left["r1"]) == 1 })
	gone := make(chan error)
	go func() {
		_, err := g.Attach(context.Background(), id)
		gone <- err
	}()
	close(w.Gate)
	testenv.Eventually(t, "it is acknowledged elsewhere", func() bool {
		if c, ok := w.Find(id); ok {
			c.Ack()
			return false
		}
		return true
	})
	p.lead(g.address)
	if err := <-gone; !errors.Is(err, hub.ErrGone) {
		t.Errorf("error %v", err)
	}
}

func TestAttachWaits(t *testing.T) {
	g := newGateway(t, "g1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := g.Attach(ctx, newID(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// The hub ends: what waits for it ends, too.
func TestRunEnds(t *testing.T) {
	g := newGateway(t, "g1")
	w := parktest.NewWorker(2, parktest.NewLedger().Add)
	w.Gate = make(chan struct{})
	r := newRunner(t, hello("r1", faas.StartWarm, 2), w, g.address)
	_, wait := held(t, g, g)
	slot := g.claim(t, warm(newID(t)))
	g.stop()
	if _, err := wait(); !errors.Is(err, hub.ErrInDoubt) {
		t.Errorf("error of the call that runs: %v", err)
	}
	if _, err := slot.Invoke(t.Context(), newTask(newID(t)), hub.Body{Stream: strings.NewReader("x")}, nil); !errors.Is(err, hub.ErrRefused) {
		t.Errorf("error of a late call: %v", err)
	}
	if left := g.leftNow("r1"); len(left) != 0 {
		t.Errorf("the runner is said to have left: %v", left)
	}
	close(w.Gate)
	_ = r.stop()
}
