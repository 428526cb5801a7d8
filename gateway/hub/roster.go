package hub

import (
	"bufio"
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// conn is the gateway's end of a slot's parked connection.
type conn struct {
	net    net.Conn
	runner *runner
	limit  *limitReader
	br     *bufio.Reader // reads net through limit
	head   []byte        // reused for what is sent first
	uses   int           // claims of it; guarded by Hub.mu

	mu          sync.Mutex
	phase       phase
	interrupted bool
}

// phase is how far a connection's call is, as far as it bounds the runner's silence.
type phase int

const (
	offered phase = iota // the runner is to say at once whether it takes the call
	taken                // the body is being sent, for as long as that takes
	sent                 // the runner is to say on its control connection that the call runs
	running              // the command runs for as long as it does
	ended                // the answer is on its way
)

// control is the gateway's end of a runner's control connection.
type control struct {
	net  net.Conn
	http *http.ClientConn
	done chan struct{} // closed when the connection is over and everybody has been told

	told    int  // edition of the peers that it was told; guarded by Hub.mu
	telling bool // guarded by Hub.mu
}

// doubt is an invocation whose connection broke after its commit: its runner is the
// one to ask, even when it has let go of it meanwhile.
type doubt struct {
	runner *runner
	since  time.Time
}

// seeker is what those wait on who attach to an invocation that no connected runner holds.
type seeker struct {
	found chan struct{} // closed when a runner holds it, or said that it does not any more
	gone  bool          // the latter; read after found is closed
	waits int
}

func (o *roster) answer(id faas.InvocationID, gone bool) {
	if s := o.seekers[id]; s != nil {
		s.gone = gone
		close(s.found)
		delete(o.seekers, id)
	}
}

// Hub holds the parked runners of one gateway. Its methods may be called at the same time.
type Hub struct {
	opts    Options
	log     *slog.Logger
	observe Observer      // given to Run
	started chan struct{} // closed by Run; no runner is let in before

	life  context.Context // ends when Run does
	end   context.CancelFunc
	group sync.WaitGroup // what runs for single runners

	roster *roster
}

// roster is what a hub knows of its runners: their connections, their free slots, and the invocations that they own.
type roster struct {
	buffers sync.Pool // of *[]byte with streamBuffer bytes; it needs no lock

	mu      sync.Mutex // held for a few steps in memory, never over I/O
	closed  bool
	peers   []string
	edition int // of peers
	pools   map[faas.RevisionRef]*pool
	runners map[faas.RunnerID]*runner
	holders map[faas.InvocationID]*runner // the runner that was last known to own it
	doubts  map[faas.InvocationID]doubt   // that nobody has attached to yet
	seekers map[faas.InvocationID]*seeker
}

// pool knows who may get a slot of one revision: the runners that have one to
// offer, and the claims that wait for one. At any time one of both is empty for
// each start and each job. Hub.mu guards it; every step is O(1).
type pool struct {
	ref     faas.RevisionRef
	lanes   map[faas.Start]*lane // for the runners that take any invocation
	jobs    map[faas.InvocationID]*runner
	queued  map[faas.InvocationID]*waiter // that would take their own job's runner
	runners map[*runner]struct{}          // all
	waiters int                           // with no runners and no waiters the pool goes
}

// lane is the part of a pool for one start.
type lane struct {
	ready   list.List // of *runner that can offer, the last used first: its caches are warm
	waiting list.List // of *waiter, first come first
}

// waiter is one claim that waits. It is in every lane that its want allows.
type waiter struct {
	want  Want
	got   chan *Slot // holds one
	ranks map[*lane]*list.Element
}

// runner is what the hub knows of one runner. Hub.mu guards it, save hello and pool.
//
// Its slots are offered only while its control connection stands: what happens to
// them is heard there. It stays known for a while after it left, so that one that
// comes back can be asked what became of what it held.
type runner struct {
	hello     task.Hello // without Held and Free
	pool      *pool
	control   *control // nil: not connected
	latest    *control // the last that came, perhaps still waiting for the one before it to be gone
	since     time.Time
	free      int // as told last
	pending   int // claims of this gateway that what was told last did not know of
	fresh     int // slots that own calls just freed, whatever an event says that was sent before
	draining  bool
	parked    bool                        // it was ready once
	announced bool                        // the observer knows that
	conns     map[*conn]struct{}          // all, idle or in use
	idle      []*conn                     // the last used last
	own       map[faas.InvocationID]*Slot // claimed by this gateway
	late      map[faas.InvocationID]bool  // own calls that were over before the events about them came
	held      map[faas.InvocationID]bool
	place     *list.Element // in its lane's list of those that can offer
}

// held's values: whether the runner itself said so in this connection's events or
// hello. Until then it is held by what this gateway sent, and only an answer about
// that very invocation tells that it is not.
const (
	assumed   = false
	confirmed = true
)

// offers returns how many of its idle connections a claim may have now. Other
// gateways' calls show only in free; this gateway's own also in the connections.
func (r *runner) offers() int {
	if r.control == nil || r.draining {
		return 0
	}
	return min(r.open(), len(r.idle))
}

// open returns how many slots are free, as far as can be known here.
func (r *runner) open() int {
	return max(r.free-r.pending, r.fresh)
}

// Want says which slot a call can use.
type Want struct {
	Ref        faas.RevisionRef
	Invocation faas.InvocationID
	Starts     []faas.Start // in order of preference; a job's runner is claimed by its own invocation only
}

// Slot is a claimed place on a runner, for one Invoke.
type Slot struct {
	roster     *roster
	conn       *conn
	invocation faas.InvocationID
	used       atomic.Bool // released or invoked
	over       bool        // its connection is back or dropped; guarded by Hub.mu
	untold     bool        // no event has told of it yet; guarded by Hub.mu
}
