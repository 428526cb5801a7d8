// Package hub keeps the connections of the runners that dialled in: the free slots of each runner, and the invocations
// that it owns. The hub claims slots, sends tasks over them, attaches to invocations that a runner owns, and reports
// the runners' events to an Observer.
//
// The hub makes no decision about a call: package dispatch decides whether a call is tried again and what its outcome
// is. The hub stores nothing: a runner sends everything that the hub knows of it again when it dials in. The hub trusts
// a runner with its own revision only: everything that a runner sends is bounded and checked.
//
// Start at Hub.Claim and Slot.Invoke, which every call goes through. park.go lets runners in, runner.go keeps what the
// hub knows of one runner, pool.go decides which call gets a slot.
package hub

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"davit/internal/every"
	"davit/internal/faas"
	"davit/internal/sock"
	"davit/internal/task"
)

const (
	sweepEvery   = 5 * time.Second
	inDoubtFor   = 10 * time.Minute
	streamBuffer = 64 << 10
)

// New returns a hub without runners. A runner that dials in before Run begins waits for Run, for at most 10 s; then it
// is refused and dials in again.
func New(opts Options) *Hub {
	h := &Hub{
		opts:    opts,
		log:     opts.Log,
		started: make(chan struct{}),
		roster: &roster{
			pools: map[faas.RevisionRef]*pool{}, runners: map[faas.RunnerID]*runner{}, owners: map[faas.InvocationID]*runner{},
			inDoubt: map[faas.InvocationID]inDoubt{}, ownerWaits: map[faas.InvocationID]*ownerWait{},
		},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.roster.buffers.New = func() any { b := make([]byte, streamBuffer); return &b }
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// Handler serves POST /park with HTTP/1.1. Its net/http server may also serve MultipartHandler and the store's paths.
// The server should set ReadHeaderTimeout and MaxHeaderBytes; the handler sets all other deadlines. The server's
// Shutdown leaves parked connections open: Run closes them.
func (h *Hub) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+task.PathPark, h.servePark)
	return mux
}

// Run lets runners in, reports their events to observer, and drops dead parked connections until ctx ends. Then it
// closes all connections and returns when the hub's goroutines have ended. An Invoke that is under way then returns
// ErrNotRun before its commit, ErrInDoubt after it.
func (h *Hub) Run(ctx context.Context, observer Observer) error {
	h.observe = observer
	close(h.started)
	every.Interval(ctx, sweepEvery, func(context.Context) { h.roster.sweep(time.Now()) })
	h.close()
	h.group.Wait()
	return nil
}

// close refuses all further runners and closes every connection.
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

// sweep drops idle connections that broke without an error so far, and runners that have been away for forgetAfter.
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
	maps.DeleteFunc(o.inDoubt, func(_ faas.InvocationID, d inDoubt) bool { return now.Sub(d.since) > inDoubtFor })
}

// idleConn is an idle connection and how often it had been claimed when it was listed.
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
