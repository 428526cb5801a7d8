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
	"time"

	"davit/internal/faas"
	"davit/internal/sock"
	"davit/internal/task"
)

const (
	sweepEvery   = 5 * time.Second
	doubtFor     = 10 * time.Minute
	streamBuffer = 64 << 10
)

// New returns a hub without runners. Runners that connect before Run has begun wait for it.
func New(opts Options) *Hub {
	h := &Hub{
		opts:    opts,
		log:     opts.Log,
		started: make(chan struct{}),
		roster: &roster{
			pools: map[faas.RevisionRef]*pool{}, runners: map[faas.RunnerID]*runner{}, holders: map[faas.InvocationID]*runner{},
			doubts: map[faas.InvocationID]doubt{}, seekers: map[faas.InvocationID]*seeker{},
		},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.roster.buffers.New = func() any { b := make([]byte, streamBuffer); return &b }
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
			h.roster.sweep(now)
		}
	}
}

// close lets nobody in any more and cuts every connection.
func (h *Hub) close() {
	h.end()
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	h.roster.closed = true
	for _, r := range h.roster.runners {
		for c := range r.conns {
			_ = c.net.Close()
		}
		if r.control != nil {
			r.control.cut()
		}
	}
}

// sweep drops idle connections that died unnoticed, and runners that are gone for long.
func (o *roster) sweep(now time.Time) {
	for _, c := range o.idle() {
		if sock.Quiet(c.net) {
			continue
		}
		o.mu.Lock()
		if i := slices.Index(c.runner.idle, c.conn); i >= 0 && c.conn.uses == c.uses {
			c.runner.idle = slices.Delete(c.runner.idle, i, i+1)
			o.drop(c.conn)
		}
		o.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.runners {
		o.forget(r, now)
	}
	maps.DeleteFunc(o.doubts, func(_ faas.InvocationID, d doubt) bool { return now.Sub(d.since) > doubtFor })
}

// idleConn is an idle connection as it was when it was listed.
type idleConn struct {
	*conn
	uses int
}

func (o *roster) idle() []idleConn {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []idleConn
	for _, r := range o.runners {
		for _, c := range r.idle {
			all = append(all, idleConn{c, c.uses})
		}
	}
	return all
}
