// Package hub holds the runners that dialled in and parked: who they are, which
// slots they have free, and which invocations they hold. It claims slots, sends
// tasks over them, attaches to invocations that a runner holds, and passes on
// what runners tell.
//
// It decides nothing: whether a call is tried again, what an invocation's end is
// and who hears of it is the dispatcher's. It keeps nothing on disk; everything
// it knows, runners say again when they dial in.
//
// Start at Hub.Claim and Slot.Invoke, the way of every call; park.go is how
// runners get in, runner.go what the hub knows of one.
package hub

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"davit/gateway/faas"
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
	// join again within seconds: held is what it was last known to hold.
	Left(hello task.Hello, held []faas.InvocationID)
	// Happened passes on an event of the runner.
	Happened(runner faas.RunnerID, e task.Event)
}

// Options are what a Hub needs.
type Options struct {
	Gateway  faas.GatewayID
	Verify   func(ref faas.RevisionRef, token string) bool // of runners' tokens, in constant time
	Observer Observer
	Log      *slog.Logger    // nil: discarded
	Peers    func() []string // runner addresses of all live gateways, for runners that join before the first SetPeers; nil: none
}

// Hub holds the parked runners of one gateway. Its methods may be called at the same time.
type Hub struct {
	opts Options
}

// New returns a hub without runners.
func New(opts Options) *Hub { return &Hub{opts: opts} }

// Handler serves POST /park.
func (h *Hub) Handler() http.Handler { return http.NotFoundHandler() }

// Run looks after the parked connections until ctx ends, then closes them all and
// waits for what it started.
func (h *Hub) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// SetPeers says which runner addresses (host:port) all live gateways have; runners are told of a change.
func (h *Hub) SetPeers(_ []string) {}

// Attach waits until a connected runner holds the invocation and then for its
// outcome, until ctx ends. ErrGone: its runner no longer holds it.
func (h *Hub) Attach(_ context.Context, _ faas.InvocationID) (*Answer, error) { return nil, ErrGone }

// Log returns the invocation's log from that byte on and follows it to the call's end. Close it.
func (h *Hub) Log(_ context.Context, _ faas.InvocationID, _ int64) (io.ReadCloser, error) {
	return nil, ErrAway
}

// Cancel ends the invocation's command: SIGTERM, SIGKILL 10 s later.
func (h *Hub) Cancel(_ context.Context, _ faas.InvocationID) error { return ErrAway }

// Keep makes the runner store the invocation's input at once, and its result.
func (h *Hub) Keep(_ context.Context, _ faas.InvocationID) error { return ErrAway }

// Ack says that the invocation's outcome is settled; its runner may forget it.
func (h *Hub) Ack(_ context.Context, _ faas.InvocationID) error { return ErrAway }

// Drain makes a runner take no more and end when it is idle.
func (h *Hub) Drain(_ context.Context, _ faas.RunnerID) error { return ErrAway }

// Holder returns the connected runner that holds the invocation.
func (h *Hub) Holder(_ faas.InvocationID) (faas.RunnerID, bool) { return "", false }
