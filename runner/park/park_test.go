package park_test

import (
	"errors"
	"io"
	"net"
	"strings"
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

// A single-use runner ends when its outcome is acknowledged and its answer was read, whichever comes last; before, it
// takes no second call.
func TestSingleUse(t *testing.T) {
	for _, ackFirst := range []bool{false, true} {
		for _, launched := range []faas.Start{faas.StartStandby, faas.StartJob} {
			g := newGateway(t, "g1", "127.0.0.1:0")
			w := newWorker(1)
			w.Single = true
			id := newID(t)
			h := hello(launched, 1)
			if launched == faas.StartJob {
				h.Invocation = id
			}
			r := start(t, w, park.Options{Hello: h, Gateways: []string{g.address}, Terms: park.Terms{Drain: 50 * time.Millisecond}})
			a := g.call(t, launched, id)
			if s := g.TryClaim(hub.Want{Ref: ref(), Invocation: newID(t), Starts: []faas.Start{launched}}); s != nil {
				t.Errorf("%s: a used runner is offered", launched)
			}
			ack := func() {
				if err := g.AckAll(t.Context(), []faas.InvocationID{id}); err != nil {
					t.Errorf("%s: %v", launched, err)
				}
			}
			if ackFirst {
				ack()
			}
			if !r.goesOn() {
				t.Errorf("%s: it ended before its answer was read", launched)
			}
			read(t, a)
			if !ackFirst {
				if !r.goesOn() {
					t.Errorf("%s: it ended before its outcome was acknowledged", launched)
				}
				ack()
			}
			if err := r.over(t); err != nil {
				t.Errorf("%s: ended with %v", launched, err)
			}
			g.stop()
		}
	}
}

// A runner whose answer nobody reads to its end gives it up when the connection is gone.
func TestAnswerGivenUp(t *testing.T) {
	g := newGateway(t, "g1", "127.0.0.1:0")
	w := newWorker(1)
	w.Single = true
	w.Result = func(*task.Task, []byte, int64) (task.Outcome, io.Reader) {
		return task.Outcome{}, strings.NewReader(strings.Repeat("x", 64<<20))
	}
	r := start(t, w, park.Options{Hello: hello(faas.StartStandby, 1), Gateways: []string{g.address}})
	id := newID(t)
	a := g.call(t, faas.StartStandby, id)
	if err := g.AckAll(t.Context(), []faas.InvocationID{id}); err != nil {
		t.Fatal(err)
	}
	_ = a.Body.Close()
	if err := r.over(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestAlone(t *testing.T) {
	terms := park.Terms{Alone: 100 * time.Millisecond, Unack: 300 * time.Millisecond}
	t.Run("never connected", func(t *testing.T) {
		r := start(t, newWorker(1), park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{nowhere, "no such host:1", "odd"}, Terms: terms})
		if err := r.over(t); !errors.Is(err, park.ErrAlone) {
			t.Errorf("ended with %v", err)
		}
	})
	t.Run("not while it holds something", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &testenv.Network{}
			g := newGatewayOn(t, "g1", n.Listen("10.0.0.1:1"))
			w := newWorker(1)
			w.Gate = make(chan struct{})
			r := start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{g.address}, Terms: terms, Dial: n.Dial})
			id := newID(t)
			invoked := make(chan error, 1)
			slot := g.claim(t, faas.StartWarm, id)
			go func() {
				_, err := slot.Invoke(t.Context(), newTask(id), hub.Body{}, nil)
				invoked <- err
			}()
			testenv.Eventually(t, "the call runs", func() bool { return g.happened(task.EventRunning) })
			g.stop()
			if err := <-invoked; !errors.Is(err, hub.ErrInDoubt) {
				t.Errorf("error %v", err)
			}
			<-time.After(3 * terms.Alone)
			if !r.goesOn() {
				t.Error("it ended although its call runs")
			}
			close(w.Gate)
			if err := r.over(t); !errors.Is(err, park.ErrAlone) { // once nobody has acknowledged the outcome in time
				t.Errorf("ended with %v", err)
			}
			if w.Acked() != 1 {
				t.Errorf("acknowledged %d times", w.Acked())
			}
		})
	})
}

func TestUnfit(t *testing.T) {
	g := newGateway(t, "g1", "127.0.0.1:0")
	terms := park.Terms{Unfit: 100 * time.Millisecond}
	r := start(t, newWorker(1), park.Options{Hello: hello(faas.StartWarm, 1), Token: "guess", Gateways: []string{g.address}, Terms: terms})
	if err := r.over(t); !errors.Is(err, park.ErrUnfit) || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "guess") {
		t.Errorf("ended with %v", err)
	}
}

// Slots are parked only when the start process is ready; if it fails, the gateway hears why.
func TestReady(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		g := newGateway(t, "g1", "127.0.0.1:0")
		w := newWorker(2)
		w.Readying = make(chan error)
		start(t, w, park.Options{Hello: hello(faas.StartWarm, 2), Gateways: []string{g.address}})
		testenv.Eventually(t, "the runner joins", func() bool { return g.joined() == 1 })
		if n := g.Slots(ref())[faas.StartWarm]; n.Runners != 1 || n.Free != 0 {
			t.Errorf("before it is ready: %+v", n)
		}
		close(w.Readying)
		testenv.Eventually(t, "the slots are parked", func() bool { return g.Slots(ref())[faas.StartWarm].Free == 2 })
	})
	t.Run("failed", func(t *testing.T) {
		g := newGateway(t, "g1", "127.0.0.1:0")
		w := newWorker(1)
		w.Readying = make(chan error)
		r := start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{g.address}})
		testenv.Eventually(t, "the runner joins", func() bool { return g.joined() == 1 })
		w.Readying <- errors.New("exit 3")
		if err := r.over(t); !errors.Is(err, park.ErrStart) || !strings.Contains(err.Error(), "exit 3") {
			t.Errorf("ended with %v", err)
		}
		testenv.Eventually(t, "the gateway hears", func() bool { return g.happened(task.EventStartFailed) })
	})
}

func TestToldToStop(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		g := newGateway(t, "g1", "127.0.0.1:0")
		r := start(t, newWorker(1), park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{g.address}})
		id := newID(t)
		read(t, g.call(t, faas.StartWarm, id))
		if err := g.AckAll(t.Context(), []faas.InvocationID{id}); err != nil {
			t.Fatal(err)
		}
		r.stop()
		testenv.EventuallyWithin(t, 5*time.Second, "the idle runner ends", func() bool { return !r.goesOn() })
		if err := r.over(t); err != nil {
			t.Errorf("ended with %v", err)
		}
		testenv.Eventually(t, "the gateway knows", func() bool { return len(g.Runners()) == 0 })
	})
	t.Run("with no gateway", func(t *testing.T) {
		r := start(t, newWorker(1), park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{nowhere}})
		r.stop()
		if err := r.over(t); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	t.Run("while a call runs", func(t *testing.T) {
		g := newGateway(t, "g1", "127.0.0.1:0")
		w := newWorker(1)
		w.Gate = make(chan struct{})
		r := start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{g.address}})
		id := newID(t)
		go func() {
			testenv.Eventually(t, "the call runs", func() bool { return g.happened(task.EventRunning) })
			r.stop()
			testenv.Eventually(t, "it drains", func() bool { return g.happened(task.EventDraining) })
			close(w.Gate)
		}()
		read(t, g.call(t, faas.StartWarm, id))
		if err := g.AckAll(t.Context(), []faas.InvocationID{id}); err != nil {
			t.Fatal(err)
		}
		if err := r.over(t); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	t.Run("for too long", func(t *testing.T) {
		g := newGateway(t, "g1", "127.0.0.1:0")
		w := newWorker(1)
		w.Gate = make(chan struct{})
		terms := park.Terms{Drain: 50 * time.Millisecond}
		r := start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{g.address}, Terms: terms})
		id := newID(t)
		go func() {
			testenv.Eventually(t, "the call runs", func() bool { return g.happened(task.EventRunning) })
			r.stop()
		}()
		if _, err := g.claim(t, faas.StartWarm, id).Invoke(t.Context(), newTask(id), hub.Body{}, nil); !errors.Is(err, hub.ErrInDoubt) {
			t.Errorf("error %v", err)
		}
		if err := r.over(t); err != nil {
			t.Errorf("ended with %v", err)
		}
		close(w.Gate)
	})
}

// A gateway is started again at the same address, and found by a name.
func TestGatewayComesBack(t *testing.T) {
	g := newGateway(t, "g1", "127.0.0.1:0")
	_, port, err := net.SplitHostPort(g.address)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(1)
	start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{"localhost:" + port}, Terms: park.Terms{Drain: 50 * time.Millisecond}})
	id := newID(t)
	read(t, g.call(t, faas.StartWarm, id))
	g.stop()
	g = newGateway(t, "g2", g.address)
	read(t, g.call(t, faas.StartWarm, newID(t)))
	if h := g.hellos[0]; len(h.Owned) != 1 || h.Owned[0].Record.ID != id || !h.Owned[0].Ended {
		t.Errorf("hello %+v", h)
	}
}

// A hello that would be too large goes without its lists of files.
func TestHugeHello(t *testing.T) {
	g := newGateway(t, "g1", "127.0.0.1:0")
	w := &hoarder{Worker: newWorker(1)}
	start(t, w, park.Options{Hello: hello(faas.StartWarm, 1), Gateways: []string{g.address}, Terms: park.Terms{Drain: 50 * time.Millisecond}})
	testenv.Eventually(t, "the runner joins", func() bool { return g.joined() == 1 })
	if n := len(g.hellos[0].Owned); n != 20 || g.hellos[0].Owned[0].Outcome.Result.Size != 7 || g.hellos[0].Owned[0].Outcome.Result.Files != nil {
		t.Errorf("%d are held", n)
	}
}

// hoarder holds results of many files with long names.
type hoarder struct{ *parktest.Worker }

func (*hoarder) Owned() []task.Owned {
	files := make([]faas.ResultFile, faas.MaxResultFiles)
	for i := range files {
		files[i].Path = strings.Repeat("x", 1000)
	}
	held := make([]task.Owned, 20)
	for i := range held {
		id, _ := faas.NewInvocationID()
		held[i] = task.Owned{
			Record: faas.Invocation{ID: id, Function: ref().Function, Revision: ref().Number}, Ended: true,
			Outcome: &task.Outcome{Result: &faas.Result{Size: 7, Files: files}},
		}
	}
	return held
}
