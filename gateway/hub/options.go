package hub

import (
	"context"
	"log/slog"

	"davit/internal/faas"
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

// Parter arranges uploads that are too large for one PUT. Its errors are *faas.Errors:
// NotFound and Unavailable are worth another try, others are not.
type Parter interface {
	// BeginParts returns the URLs for an object of the invocation.
	BeginParts(ctx context.Context, id faas.InvocationID, w task.PartsWanted) (*task.Parts, error)
	// CompleteParts makes the object of its parts; it may be called again.
	CompleteParts(ctx context.Context, id faas.InvocationID, done task.PartsDone) error
}
