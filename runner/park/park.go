// Package park is a runner's side of the connections to the gateways: it dials in
// at every gateway, parks a connection for each slot and one for control, and
// brings what comes over them to the worker. It dials again for as long as the
// runner has a reason to live, and knows when it has none any more.
//
// It does not know how a task is run: package work does. The protocol is told in
// package task. Start at Run; link.go is the life of the connections to one
// gateway, slot.go and control.go are what is served over them, watch.go says when
// the runner ends.
package park

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// Options are what Run needs beside the worker.
type Options struct {
	Hello    task.Hello   // what the runner says of itself; Held and Free are filled in
	Token    string       // of the revision
	Gateways []string     // host:port each; all addresses of a host are dialled
	Log      *slog.Logger // nil: discarded
	Terms    Terms
	Desk     *Desk // nil: the worker asks nothing
}

// Terms are how long a runner waits for others before it ends. Zero values mean the defaults.
type Terms struct {
	Alone time.Duration // idle and connected to no gateway; 2 min
	Unfit time.Duration // idle and refused by every gateway; 10 s
	Unack time.Duration // an outcome whose uploads are done stays unacknowledged; 10 min
	Drain time.Duration // what runs goes on after the context ended; 30 s
}

func (t Terms) complete() Terms {
	for _, d := range []struct {
		term  *time.Duration
		usual time.Duration
	}{{&t.Alone, 2 * time.Minute}, {&t.Unfit, 10 * time.Second}, {&t.Unack, 10 * time.Minute}, {&t.Drain, 30 * time.Second}} {
		if *d.term == 0 {
			*d.term = d.usual
		}
	}
	return t
}

// The reasons for which Run ends with an error.
var (
	ErrStart = errors.New("the worker did not get ready")
	ErrUnfit = errors.New("every gateway refuses this runner")
	ErrAlone = errors.New("no gateway can be reached")
)

// Run parks the worker's slots at all gateways and serves them, until the worker is
// done or there is no reason to go on. It returns nil when the worker is done and
// its answers were read, or when ctx ended: what runs then has Terms.Drain to end,
// and Run returns at once if nothing does. Otherwise it returns ErrStart, ErrUnfit
// or ErrAlone. Nothing of Run goes on when it has returned; the worker does.
func Run(ctx context.Context, w Worker, o Options) error {
	l := newLot(w, o)
	defer l.close()
	if o.Desk != nil {
		o.Desk.open(l.connected)
	}
	l.group.Go(func() { l.findGateways(l.life) })
	l.group.Go(func() { l.getReady(l.life) })
	l.group.Go(func() { l.follow(l.life) })
	l.group.Go(l.serveSlots)
	if o.Hello.Start == faas.StartStandby {
		l.group.Go(l.rehearse)
	}
	return l.untilOver(ctx)
}

// lot is everything that is parked.
type lot struct {
	worker Worker
	opts   Options
	log    *slog.Logger

	life  context.Context // of what Run started
	end   context.CancelFunc
	group sync.WaitGroup
	ready chan struct{} // closed when the worker is ready

	visits  visits        // of handlers
	buffers sync.Pool     // of *[]byte with copyBuffer bytes
	slots   *http.Server  // for the connections of all slots
	queue   chan net.Conn // that were parked and are to be served
	notice  chan struct{} // holds one: something changed that may end the runner

	renamed chan struct{} // holds one: gateways were named

	mu          sync.Mutex
	changed     chan struct{} // closed and made anew when a link or draining changed
	failed      error         // that the worker did not get ready for
	failedAt    time.Time
	failureTold bool
	draining    bool             // parks no more slots
	links       map[string]*link // by address
	peers       []string         // as a gateway said last
	seen        time.Time        // when a gateway was last connected
	accepting   map[faas.InvocationID]bool
	answers     int                             // that are being given
	served      map[net.Conn]time.Time          // slots' connections that stand, and when an answer was last given on it
	unacked     map[faas.InvocationID]time.Time // stored, and until when an acknowledgement is awaited
}

func newLot(w Worker, o Options) *lot {
	o.Terms = o.Terms.complete()
	l := &lot{
		worker:    w,
		opts:      o,
		log:       o.Log,
		ready:     make(chan struct{}),
		queue:     make(chan net.Conn),
		notice:    make(chan struct{}, 1),
		renamed:   make(chan struct{}, 1),
		links:     map[string]*link{},
		seen:      time.Now(),
		accepting: map[faas.InvocationID]bool{},
		served:    map[net.Conn]time.Time{},
		changed:   make(chan struct{}),
		unacked:   map[faas.InvocationID]time.Time{},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.life, l.end = context.WithCancel(context.Background())
	l.slots = l.slotServer()
	l.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	return l
}

// close ends every connection and waits for what Run started.
func (l *lot) close() {
	l.end()
	_ = l.slots.Close()
	l.group.Wait()
	l.visits.end()
}

// getReady waits for the worker, and lets the slots be parked.
func (l *lot) getReady(ctx context.Context) {
	err := l.worker.Ready(ctx)
	if err == nil {
		close(l.ready)
		return
	}
	if ctx.Err() == nil {
		l.fail(err)
	}
}

// fail notes that the worker did not get ready.
func (l *lot) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed, l.failedAt = err, time.Now()
	}
	l.wake()
}

// wake has the reasons to end looked at.
func (l *lot) wake() { signal(l.notice) }

// signal leaves word in a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// stir has those look again who wait for a link or for draining. lot.mu is held.
func (l *lot) stir() {
	close(l.changed)
	l.changed = make(chan struct{})
	l.wake()
}

// stopParking parks no more slots. Gateways hear of it by the worker's events, and
// let go of the connections that are parked.
func (l *lot) stopParking() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	l.stir()
}

// hello returns what the runner says of itself now.
func (l *lot) hello(kind task.LinkKind) task.Hello {
	h := l.opts.Hello
	h.Held, h.Free = nil, 0
	if kind == task.LinkControl {
		h.Held, h.Free = l.held(), l.worker.Free()
	}
	return h
}

// held returns what the worker holds and what it is just accepting: a gateway that
// sent the end of a body must find it here.
func (l *lot) held() []task.Held {
	l.mu.Lock()
	ids := make([]faas.InvocationID, 0, len(l.accepting))
	for id := range l.accepting {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	held := l.worker.Held()
	known := make(map[faas.InvocationID]bool, len(held))
	for i := range held {
		known[held[i].Record.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			held = append(held, task.Held{Record: faas.Invocation{
				ID: id, Function: l.opts.Hello.Function, Revision: l.opts.Hello.Revision, State: faas.Starting,
			}})
		}
	}
	return held
}
