// Package park is the runner's side of its connections to the gateways: it dials every gateway, parks a connection for
// each slot and one for control, and passes the requests that arrive on them to the worker. It dials again until the
// runner ends, and decides when the runner ends.
//
// Package work runs the tasks; package task describes the protocol. Start at [Run]. link.go keeps the connections to
// one gateway, slot.go and control.go serve requests on them, end.go decides when the runner ends.
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
	"davit/internal/signal"
	"davit/internal/task"
)

// Options are the settings of Run.
type Options struct {
	Hello     task.Hello   // describes the runner; Run fills in Owned and Free
	Token     string       // of the revision
	Gateways  []string     // host:port each; all addresses of a host are dialled
	Log       *slog.Logger // nil: discarded
	Terms     Terms
	Multipart *MultipartClient // to be opened by Run; nil: none
	Dial      Dial             // nil: over TCP
}

// Dial connects to an address, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Terms are the times after which Run ends the runner. A zero value means the default, given with each field.
type Terms struct {
	Alone time.Duration // an idle runner may be connected to no gateway; 2 min
	Unfit time.Duration // every gateway may refuse an idle runner; 10 s
	Unack time.Duration // an outcome may stay unacknowledged after its uploads; 10 min
	Drain time.Duration // running calls may go on after the context has ended; 30 s
}

// The reasons for which Run ends with an error.
var (
	ErrStart = errors.New("the worker did not get ready")
	ErrUnfit = errors.New("every gateway refuses this runner")
	ErrAlone = errors.New("no gateway can be reached")
)

// connections is the state of Run: the links to all gateways, and the calls that are accepted or answered over them.
type connections struct {
	worker Worker
	opts   Options
	log    *slog.Logger

	life  context.Context // of the goroutines that Run starts
	end   context.CancelFunc
	group sync.WaitGroup
	ready chan struct{} // closed when the worker is ready

	handlers handlers
	buffers  sync.Pool     // of *[]byte with copyBuffer bytes
	slots    *http.Server  // for the connections of all slots
	queue    chan net.Conn // parked connections that are still to be served
	notice   signal.Wake   // set when something changed that may end the runner

	renamed signal.Wake // set when a gateway named other gateways

	mu          sync.Mutex
	changed     signal.Broadcast // sent when a link or draining changed
	failed      error            // why the worker did not get ready
	failedAt    time.Time
	failureSent bool
	draining    bool      // parks no more slots
	links       links     // by address
	peers       []string  // as the last gateway sent them
	seen        time.Time // when a gateway was last connected
	accepting   map[faas.InvocationID]bool
	answers     int                             // that are being sent
	served      map[net.Conn]time.Time          // open connections of slots, and when the last answer was sent on each
	unacked     map[faas.InvocationID]time.Time // stored outcomes, and until when each waits for an acknowledgement
}

// fail records why the worker did not get ready.
func (l *connections) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed, l.failedAt = err, time.Now()
	}
	l.wake()
}

// wake makes untilOver check the reasons to end.
func (l *connections) wake() { l.notice.Set() }

// announce wakes the goroutines that wait for a connection or for draining. The caller holds l.mu.
func (l *connections) announce() {
	l.changed.Send()
	l.wake()
}

// stopParking ends the parking of slots. The worker's events report this to the gateways, which close the parked
// connections.
func (l *connections) stopParking() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	l.announce()
}

// hello describes the runner as it is now.
func (l *connections) hello(kind task.LinkKind) task.Hello {
	h := l.opts.Hello
	h.Owned, h.Free = nil, 0
	if kind == task.LinkControl {
		h.Owned, h.Free = l.held(), l.worker.Free()
	}
	return h
}

// held returns the calls that the worker has accepted or is accepting, because a gateway that sent the end of a body
// must find its call in the next hello.
func (l *connections) held() []task.Owned {
	l.mu.Lock()
	ids := make([]faas.InvocationID, 0, len(l.accepting))
	for id := range l.accepting {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	held := l.worker.Owned()
	known := make(map[faas.InvocationID]bool, len(held))
	for i := range held {
		known[held[i].Record.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			held = append(held, task.Owned{Record: faas.Invocation{
				ID: id, Function: l.opts.Hello.Function, Revision: l.opts.Hello.Revision, State: faas.Starting,
			}})
		}
	}
	return held
}

// MultipartClient asks the gateways to begin and complete uploads in parts. It asks one connected gateway after another
// until one answers. It is created before Run, which gives it the addresses of the gateways.
type MultipartClient struct {
	ref   faas.RevisionRef
	token string
	http  *http.Client

	mu       sync.Mutex
	gateways func() []string
}

// earlyReader reads the bytes that the reader of the handshake had buffered, then the connection.
type earlyReader struct {
	br   *bufio.Reader // nil once it is empty
	conn net.Conn
}

// Read reads from the buffer until it is empty, then from the connection.
func (r *earlyReader) Read(p []byte) (int, error) {
	if r.br != nil {
		if r.br.Buffered() > 0 {
			return r.br.Read(p)
		}
		r.br = nil
	}
	return r.conn.Read(p)
}

// feed delivers the worker's events to one gateway. It begins before the hello is written, so that an event reports
// each change that the hello does not have.
type feed struct {
	conns  *connections
	cancel context.CancelFunc
	events chan task.Event
	first  task.Event
	over   chan struct{} // closed when no more events come
	err    error         // why; read after over is closed
	batch  []task.Event  // reused for the events that are sent together
	asked  sync.Once
}

// links are the links of a runner by address. The mutex of the connections guards them.
type links map[string]*link

// link is all connections to one address.
type link struct {
	conns   *connections
	address string
	log     *slog.Logger
	ctx     context.Context //nolint:containedctx // the link's life, which findGateways and fell may end
	cancel  context.CancelFunc

	// Guarded by conns.mu.
	wanted  bool           // the address is still a gateway's
	down    bool           // the last try to connect failed
	gateway faas.GatewayID // the gateway of the open control connection; "": there is none
	sentSeq int64          // Seq of the last event that it was sent
	refused error          // why the gateway refuses this runner for good
}

// parkedConn is a connection after the handshake: the gateway is the client on it.
type parkedConn struct {
	net.Conn
	early  *earlyReader
	used   atomic.Bool // a call was sent on it
	closed chan struct{}
	once   sync.Once
}

// Read reads first the bytes that followed the handshake.
func (c *parkedConn) Read(p []byte) (int, error) { return c.early.Read(p) }

// Close closes the connection, and the channel closed.
func (c *parkedConn) Close() error {
	defer c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// handlers counts running handlers, because http.Server.Close does not wait for them.
type handlers struct {
	mu   sync.Mutex
	over bool
	wg   sync.WaitGroup
}
