package fleet

import (
	"context"
	"log/slog"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
)

// Runners lists the runners that are connected to this gateway.
type Runners interface {
	Runners() []hub.Status
	Slots(ref faas.RevisionRef) map[faas.Start]faas.SlotCounts
	// Connected returns the runners of one revision and start.
	Connected(ref faas.RevisionRef, start faas.Start) []faas.RunnerID
	// HasParked reports whether a runner was ever ready for calls.
	HasParked(runner faas.RunnerID) bool
}

// Drainer reaches single runners.
type Drainer interface {
	// Drain asks a runner to take no more calls and to end when it is idle.
	Drain(ctx context.Context, runner faas.RunnerID) error
	Hello(runner faas.RunnerID) (task.Hello, bool)
}

// Claimer waits for a slot.
type Claimer interface {
	Claim(ctx context.Context, want hub.Want) (*hub.Slot, error)
}

// Launcher starts standby and warm runners.
type Launcher interface {
	// Scale starts runners until n of that start exist; it never ends one.
	Scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error
	// Running counts this launcher's runners, starting ones included.
	Running(ref faas.RevisionRef, start faas.Start) int
	// Counts reports whether Running counts a connected runner.
	Counts(runner faas.RunnerID) bool
	// Retire ends the runners of a revision that were started here and have not connected yet.
	Retire(ref faas.RevisionRef)
}

// Ender ends runners that do not respond.
type Ender interface {
	Counts(runner faas.RunnerID) bool
	// End ends a standby or warm runner that Counts knows, at once and whatever it does.
	End(ctx context.Context, runner faas.RunnerID) error
}

// Catalog has the registrations that are served.
type Catalog interface {
	// Live returns the revision that calls go to; NotFound, or Unavailable when none is ready.
	Live(name faas.FunctionName) (*faas.Revision, error)
	LiveRevisions() []*faas.Revision
}

// Capacity bounds the runners of all functions on all gateways.
type Capacity interface {
	// GrantKept returns how many of n further kept runners a function may start.
	GrantKept(ctx context.Context, fn faas.FunctionName, n, all int) (int, error)
	// SetKept publishes how many runners each function keeps, and returns how many more runners there may be, and the
	// shares.
	SetKept(ctx context.Context, kept map[faas.FunctionName]int, all int) (room int, shares []faas.Share, err error)
}

// Leader elects the gateway that decides, and carries demand to it.
type Leader interface {
	// ShareDemand publishes this gateway's demand, and takes or renews the lead for so long unless another gateway has
	// it. term counts the leads; 0: another gateway leads. The leader gets the demand of the others.
	ShareDemand(ctx context.Context, gateway faas.GatewayID, own []faas.Demand, lead time.Duration) (term int64, others []faas.Demand, err error)
	// LeaveLead gives the lead up; another gateway may lead at once.
	LeaveLead(ctx context.Context, gateway faas.GatewayID) error
	// PublishExit sends every gateway a line about the end of a kept runner.
	PublishExit(ctx context.Context, line string) error
}

// Meter measures how long kept runners take to be ready; it must not block.
type Meter interface {
	Refilled(start faas.Start, after time.Duration)
}

// Options are the parts that a Fleet works with. All are required unless they say otherwise.
type Options struct {
	Gateway  faas.GatewayID
	Runners  Runners
	Drainer  Drainer
	Claimer  Claimer
	Launcher Launcher
	Ender    Ender
	Shared   bool // the launchers of all gateways have the same runners
	Catalog  Catalog
	Capacity Capacity
	Leader   Leader
	Meter    Meter
	Max      int           // runners of all functions at once, on all gateways; 0: any number
	Grace    time.Duration // how long a runner may be out of touch before it counts as lost
	First    time.Duration // how long a revision's first runner may take to park, its start process not counted; 0: 1 min
	Log      *slog.Logger
	Now      func() time.Time
}
