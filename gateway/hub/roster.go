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
	uses   int           // how often it was claimed; guarded by roster.mu

	mu          sync.Mutex
	phase       phase
	interrupted bool
}

// phase is the state of a connection's call. It decides how long the runner may send nothing.
type phase int

const (
	offered phase = iota // the runner must take or refuse the call at once
	taken                // the gateway sends the body, for as long as that takes
	sent                 // the runner must report on its control connection that the command runs
	running              // the command runs, for as long as it takes
	ended                // the runner sends the answer
)

// control is the gateway's end of a runner's control connection.
type control struct {
	net  net.Conn
	http *http.ClientConn
	done chan struct{} // closed when the connection has ended and the observer knows it

	sentEdition  int  // edition of the peers that were sent last; guarded by roster.mu
	sendingPeers bool // guarded by roster.mu
}

// inDoubt is an invocation whose connection broke after its commit. Its runner knows the outcome, even if it has
// forgotten the invocation meanwhile.
type inDoubt struct {
	runner *runner
	since  time.Time
}

// ownerWait lets Attach wait for the owner of an invocation that no connected runner owns.
type ownerWait struct {
	found   chan struct{} // closed when a connected runner owns it, or its runner does not own it any more
	gone    bool          // its runner does not own it any more; read after found is closed
	waiters int
}

func (o *roster) endOwnerWait(id faas.InvocationID, gone bool) {
	if s := o.ownerWaits[id]; s != nil {
		s.gone = gone
		close(s.found)
		delete(o.ownerWaits, id)
	}
}

// Hub keeps the connected runners of one gateway. Its methods may be called concurrently.
type Hub struct {
	opts    Options
	log     *slog.Logger
	observe Observer      // given to Run
	started chan struct{} // closed by Run; no runner is let in before

	life  context.Context // ends when Run does
	end   context.CancelFunc
	group sync.WaitGroup // the goroutines that serve single runners

	roster *roster
}

// roster keeps the runners of a hub: their connections, their free slots, and the invocations that they own.
type roster struct {
	buffers sync.Pool // of *[]byte with streamBuffer bytes; it needs no lock

	mu         sync.Mutex // never held during I/O
	closed     bool
	peers      []string
	edition    int // of peers
	pools      map[faas.RevisionRef]*pool
	runners    map[faas.RunnerID]*runner
	owners     map[faas.InvocationID]*runner // the runner that was last known to own it
	inDoubt    map[faas.InvocationID]inDoubt // that nobody has attached to yet
	ownerWaits map[faas.InvocationID]*ownerWait
}

// pool keeps the runners of one revision that have a slot to offer, and the claims that wait for one. For each start
// and each job, one of the two is always empty. roster.mu guards it; every method is O(1).
type pool struct {
	ref        faas.RevisionRef
	queues     map[faas.Start]*queue // for the runners that take any invocation
	jobs       map[faas.InvocationID]*runner
	jobWaiters map[faas.InvocationID]*waiter // whose job's runner they may claim
	runners    map[*runner]struct{}          // all
	waiters    int                           // without runners and waiters the pool is removed
}

// queue is the part of a pool for one start.
type queue struct {
	ready   list.List // of *runner with a slot to offer; the last used is first, because its caches are warm
	waiting list.List // of *waiter, in the order of Claim
}

// waiter is one claim that waits. It is in each queue that its want allows.
type waiter struct {
	want     Want
	got      chan *Slot // holds one
	elements map[*queue]*list.Element
}

// runner is what the hub knows of one runner. roster.mu guards it, except hello and pool, which do not change.
//
// The hub offers the runner's slots only while its control connection is open, because the runner reports there what
// happens to them. The hub keeps a runner that left for forgetAfter, so that a runner that dials in again can report
// the outcomes of its invocations.
type runner struct {
	hello      task.Hello // without Owned and Free
	pool       *pool
	control    *control  // nil: not connected
	latest     *control  // the last that was opened; it may still wait until the one before it has ended
	since      time.Time // of the last change of control
	free       int       // free slots by the last event or hello
	pending    int       // claims of this gateway that the runner has not reported yet
	justFreed  int       // slots that calls of this gateway freed since the last event; free does not count them yet
	draining   bool
	parked     bool                        // it has parked a slot at least once
	announced  bool                        // the observer knows of parked
	conns      map[*conn]struct{}          // all, idle or in use
	idle       []*conn                     // the last used last
	claimed    map[faas.InvocationID]*Slot // claimed by this gateway
	lateEvents map[faas.InvocationID]bool  // calls of this gateway that ended before the runner reported them
	held       map[faas.InvocationID]bool
	element    *list.Element // in its queue's ready list
}

// The values of runner.held: confirmed, if an event or the hello of this control connection listed the invocation;
// assumed, if the hub only sent it. A list without an assumed invocation does not end the ownership: the runner may
// have made it before.
const (
	assumed   = false
	confirmed = true
)

// offers returns how many of the runner's idle connections can be claimed now. free counts the calls of all gateways;
// idle lacks the connections of this gateway's calls.
func (r *runner) offers() int {
	if r.control == nil || r.draining {
		return 0
	}
	return min(r.open(), len(r.idle))
}

// open returns how many slots are free, as far as this gateway knows.
func (r *runner) open() int {
	return max(r.free-r.pending, r.justFreed)
}

// Want describes the slots that a call can use.
type Want struct {
	Ref        faas.RevisionRef
	Invocation faas.InvocationID
	Starts     []faas.Start // in order of preference; a job's runner is claimed by its own invocation only
}

// Slot is a claimed slot of a runner, for one Invoke.
type Slot struct {
	roster     *roster
	conn       *conn
	invocation faas.InvocationID
	used       atomic.Bool // released or invoked
	over       bool        // its connection is parked again or dropped; guarded by roster.mu
	unreported bool        // the runner has not reported the call yet; guarded by roster.mu
}
