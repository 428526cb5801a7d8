// Package park is a runner's side of the connections to the gateways: it dials in
// at every gateway, parks a connection for each slot and one for control, and
// brings what comes over them to the worker. It dials again for as long as the
// runner has a reason to live, and knows when it has none any more.
//
// It does not know how a task is run: package work does. The protocol is told in
// package task. Start at Run; link.go is the life of the connections to one
// gateway, slot.go and control.go are what is served over them, end.go says when
// the runner ends.
package park

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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

// The reasons for which Run ends with an error.
var (
	ErrStart = errors.New("the worker did not get ready")
	ErrUnfit = errors.New("every gateway refuses this runner")
	ErrAlone = errors.New("no gateway can be reached")
)

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

// Desk is where a runner asks its gateways for what it cannot do alone: uploads in
// parts. Any connected gateway will do, and it asks again until one answers. It is
// made before Run, which tells it where the gateways are.
type Desk struct {
	ref   faas.RevisionRef
	token string
	http  *http.Client

	mu       sync.Mutex
	gateways func() []string
}

// earlyReader reads what a handshake's reader read too much, then the connection.
type earlyReader struct {
	br   *bufio.Reader // nil once it is empty
	conn net.Conn
}

// Read reads from one of both.
func (r *earlyReader) Read(p []byte) (int, error) {
	if r.br != nil {
		if r.br.Buffered() > 0 {
			return r.br.Read(p)
		}
		r.br = nil
	}
	return r.conn.Read(p)
}

// feed is the worker's events on their way to one gateway. It is begun before the
// hello is made, so that what the hello does not know yet, an event tells.
type feed struct {
	lot    *lot
	cancel context.CancelFunc
	events chan task.Event
	first  task.Event
	over   chan struct{} // closed when no more events come
	err    error         // why; read after over is closed
	batch  []task.Event  // reused for what goes out together
	asked  sync.Once
}

// link is all connections to one address.
type link struct {
	lot     *lot
	address string
	log     *slog.Logger
	ctx     context.Context //nolint:containedctx // the link's life, which others end
	cancel  context.CancelFunc

	// Guarded by lot.mu.
	wanted  bool           // the address is still named
	down    bool           // the last try to connect failed
	gateway faas.GatewayID // whose control connection stands; "" for none
	told    int64          // Seq of the last event that it was sent
	refused error          // why it does not let this runner in, for good
}

// parkedConn is a connection whose other end is now the client.
type parkedConn struct {
	net.Conn
	early  *earlyReader
	used   atomic.Bool // it carried a call
	closed chan struct{}
	once   sync.Once
}

// Read reads first what came right behind the handshake.
func (c *parkedConn) Read(p []byte) (int, error) { return c.early.Read(p) }

// Close closes the connection and tells who waits for that.
func (c *parkedConn) Close() error {
	defer c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// visits counts running handlers, which http.Server does not wait for when it is closed.
type visits struct {
	mu   sync.Mutex
	over bool
	wg   sync.WaitGroup
}
