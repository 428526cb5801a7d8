// Package hub holds the runners that dialled in and parked: who they are, which
// slots they have free, and which invocations they hold. It claims slots, sends
// tasks over them, attaches to invocations that a runner holds, and passes on
// what runners tell.
//
// It decides nothing: whether a call is tried again, what an invocation's end is
// and who hears of it is the dispatcher's. It keeps nothing on disk; everything
// it knows, runners say again when they dial in. A runner is not trusted beyond
// its revision: whatever it sends is bounded and checked.
//
// Start at Hub.Claim and Slot.Invoke, the way of every call; park.go is how
// runners get in, runner.go what the hub knows of one, pool.go who gets a slot.
package hub

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/sock"
	"davit/internal/task"
)

// Observer is told what runners do. Its methods are called in order for each
// runner: Joined, then any number of Happened, then Left; they must not block
// long, since the runner's next event waits for them.
type Observer interface {
	// Joined says that a runner's control connection stands; hello.Held is what it
	// holds. A runner whose connection broke joins again, after its Left.
	Joined(hello task.Hello)
	// Left says that the control connection is gone. The process may be alive and
	// join again within seconds: held is what it was last known to hold, sorted.
	Left(hello task.Hello, held []faas.InvocationID)
	// Parked says that a runner has parked a slot for the first time.
	Parked(hello task.Hello)
	// Happened passes on an event of the runner.
	Happened(runner faas.RunnerID, e task.Event)
}

// Options are what a Hub needs.
type Options struct {
	Gateway faas.GatewayID
	Verify  func(ref faas.RevisionRef, token string) bool // of runners' tokens, in constant time
	Log     *slog.Logger                                  // nil: discarded
	Peers   func() []string                               // runner addresses (host:port) of all live gateways, until the first SetPeers; nil: none
}

// Hub holds the parked runners of one gateway. Its methods may be called at the same time.
type Hub struct {
	opts    Options
	log     *slog.Logger
	observe Observer      // given to Run
	started chan struct{} // closed by Run; no runner is let in before
	buffers sync.Pool     // of *[]byte with streamBuffer bytes

	life  context.Context // ends when Run does
	end   context.CancelFunc
	group sync.WaitGroup // what runs for single runners

	mu      sync.Mutex // held for a few steps in memory, never over I/O
	closed  bool
	peers   []string
	edition int // of peers
	pools   map[faas.RevisionRef]*pool
	runners map[faas.RunnerID]*runner
	holders map[faas.InvocationID]*runner // whoever was last known to hold it
	doubts  map[faas.InvocationID]doubt   // that nobody has attached to yet
	seekers map[faas.InvocationID]*seeker
}

const (
	sweepEvery   = 5 * time.Second
	forgetAfter  = 2 * time.Minute // a runner that left, and what it held
	controlGrace = 10 * time.Second
	doubtFor     = 10 * time.Minute
	streamBuffer = 64 << 10
)

// New returns a hub without runners. Runners that connect before Run has begun wait for it.
func New(opts Options) *Hub {
	h := &Hub{
		opts:    opts,
		log:     opts.Log,
		started: make(chan struct{}),
		pools:   map[faas.RevisionRef]*pool{},
		runners: map[faas.RunnerID]*runner{},
		holders: map[faas.InvocationID]*runner{},
		doubts:  map[faas.InvocationID]doubt{},
		seekers: map[faas.InvocationID]*seeker{},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.buffers.New = func() any { b := make([]byte, streamBuffer); return &b }
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// Handler serves POST /park, for a net/http server with HTTP/1.1 on a listener of its own, or shared with MultipartHandler
// and the store's paths. The server should set
// ReadHeaderTimeout and MaxHeaderBytes; the handler sets its own deadlines for the
// rest. The server's Shutdown does not touch parked connections: Run does.
func (h *Hub) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+task.PathPark, h.servePark)
	return mux
}

// Run lets runners in, reports what they do to observer, and looks after the parked connections until ctx ends. Then it closes
// them all and returns when nothing of the hub runs any more. Calls of Invoke that are under way
// then end as their state is: ErrNotRun or ErrInDoubt.
func (h *Hub) Run(ctx context.Context, observer Observer) error {
	h.observe = observer
	close(h.started)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			h.close()
			h.group.Wait()
			return nil
		case now := <-tick.C:
			h.sweep(now)
		}
	}
}

// close lets nobody in any more and cuts every connection.
func (h *Hub) close() {
	h.end()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, r := range h.runners {
		for c := range r.conns {
			_ = c.net.Close()
		}
		if r.control != nil {
			r.control.cut()
		}
	}
}

// sweep drops idle connections that died unnoticed, and runners that are gone for long.
func (h *Hub) sweep(now time.Time) {
	for _, c := range h.idle() {
		if sock.Quiet(c.net) {
			continue
		}
		h.mu.Lock()
		if i := slices.Index(c.runner.idle, c.conn); i >= 0 && c.conn.uses == c.uses {
			c.runner.idle = slices.Delete(c.runner.idle, i, i+1)
			h.drop(c.conn)
		}
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.runners {
		h.forget(r, now)
	}
	maps.DeleteFunc(h.doubts, func(_ faas.InvocationID, d doubt) bool { return now.Sub(d.since) > doubtFor })
}

// idleConn is an idle connection as it was when it was listed.
type idleConn struct {
	*conn
	uses int
}

func (h *Hub) idle() []idleConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []idleConn
	for _, r := range h.runners {
		for _, c := range r.idle {
			all = append(all, idleConn{c, c.uses})
		}
	}
	return all
}

// SetPeers says which runner addresses (host:port) all live gateways have. Runners are
// told, those that join later, too; they dial in at every one.
func (h *Hub) SetPeers(peers []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.edition > 0 && slices.Equal(h.peers, peers) {
		return
	}
	h.peers = slices.Clone(peers)
	h.edition++
	for _, r := range h.runners {
		if r.control != nil {
			h.tellPeers(r.control)
		}
	}
}
