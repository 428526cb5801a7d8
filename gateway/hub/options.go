package hub

import (
	"context"
	"log/slog"

	"davit/internal/faas"
	"davit/internal/task"
)

// Observer receives the events of runners. For each runner the hub calls Joined, then Happened any number of times,
// then Left. The methods must return soon, because the runner's next event waits for them.
type Observer interface {
	// Joined reports that a runner's control connection is open; hello.Owned lists the invocations that it owns. A
	// runner whose connection broke joins again, after Left.
	Joined(hello task.Hello)
	// Left reports that the control connection has ended. The process may be alive and join again within seconds. held
	// lists the invocations that the runner owned, sorted.
	Left(hello task.Hello, held []faas.InvocationID)
	// Parked reports that a runner has parked a slot for the first time.
	Parked(hello task.Hello)
	// Happened reports an event of the runner.
	Happened(runner faas.RunnerID, e task.Event)
}

// Options are what a Hub needs.
type Options struct {
	Gateway faas.GatewayID
	Verify  func(ref faas.RevisionRef, token string) bool // of runners' tokens, in constant time
	Log     *slog.Logger                                  // nil: discarded
	Peers   func() []string                               // runner addresses (host:port) of all live gateways, until the first SetPeers; nil: none
}

// Parter begins and completes uploads that are too large for one PUT. Its errors are *faas.Error: NotFound and
// Unavailable are worth another try, others are not.
type Parter interface {
	// BeginParts returns the URLs for an object of the invocation.
	BeginParts(ctx context.Context, id faas.InvocationID, w task.PartsWanted) (*task.Parts, error)
	// CompleteParts joins the parts to the object; it may be called again.
	CompleteParts(ctx context.Context, id faas.InvocationID, done task.PartsDone) error
}
