package dispatch

import (
	"context"
	"time"

	"davit/internal/faas"
)

// Records keeps invocation records. A final record never changes its state again, whoever writes.
type Records interface {
	// SaveInvocations creates or updates records, never over a final one or a later attempt.
	SaveInvocations(ctx context.Context, invs []*faas.Invocation) error
	// Settle makes a record final; applied is false when it was final already, and then settled is what stands.
	Settle(ctx context.Context, inv *faas.Invocation) (settled *faas.Invocation, applied bool, err error)
	// UpdateInvocation changes one record atomically.
	UpdateInvocation(ctx context.Context, id faas.InvocationID, change func(*faas.Invocation) error) (*faas.Invocation, error)
	// FindInvocation returns the record or a NotFound error.
	FindInvocation(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error)
}

// Archive lists records and drops the expired ones.
type Archive interface {
	ListInvocations(ctx context.Context, f faas.InvocationFilter) (items []*faas.Invocation, next string, err error)
	ExpiredInvocations(ctx context.Context, now time.Time, most int) ([]*faas.Invocation, error)
	// DeleteInvocation deletes a final record; with again, the id alone is told as expired once more at that time.
	DeleteInvocation(ctx context.Context, id faas.InvocationID, again time.Time) error
}

// Queue is the durable queue of accepted invocations: each is led by one gateway under a lease.
type Queue interface {
	// Enqueue writes the record and the lease at once.
	Enqueue(ctx context.Context, inv *faas.Invocation, until time.Time) error
	// Bind ties an attempt to a runner; Conflict when it is final, cancelled or bound elsewhere.
	Bind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error
	// Unbind takes a Bind back whose commit never reached the runner.
	Unbind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error
	Leases
}

// Leases say who leads an accepted invocation, and for how long.
type Leases interface {
	// Renew prolongs the leases; lost are those that this gateway does not lead any more.
	Renew(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID, until time.Time) (lost []faas.InvocationID, err error)
	TakeExpired(ctx context.Context, gateway faas.GatewayID, now, until time.Time, most int) ([]*faas.Invocation, error)
	ReleaseLeases(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID) error
}

// Places bounds the running jobs of a function over all gateways, under leases, and
// the runners of all functions, where functions that wait take turns.
type Places interface {
	// AcquirePlace takes one of most places of the function and one of all runners; all is 0 where these are not bounded.
	AcquirePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, most, all int, until time.Time) (bool, error)
	RenewPlaces(ctx context.Context, fn faas.FunctionName, ids []faas.InvocationID, until time.Time) error
	ReleasePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID) error
	Room
}

// Room is what all runners leave for those that are kept.
type Room interface {
	// GrantKept says how many of n further kept runners a function may have.
	GrantKept(ctx context.Context, fn faas.FunctionName, n, all int) (int, error)
	// SetKept says how many each has, and returns how many more runners there may be, and the shares.
	SetKept(ctx context.Context, kept map[faas.FunctionName]int, all int) (room int, shares []faas.Share, err error)
}

// Gateways tells which gateways are alive.
type Gateways interface {
	LiveGatewayIDs(ctx context.Context) ([]faas.GatewayID, error)
	// PublishCancel tells every gateway that an invocation is to be cancelled.
	PublishCancel(ctx context.Context, id faas.InvocationID) error
}

// Leader has one gateway decide on the runners that are kept, from what all of them want.
type Leader interface {
	// ShareDemand tells what this gateway wants, and takes the lead for so long, or
	// renews it, unless another one has it. term counts the leads; 0: another gateway
	// leads. Who leads is given what the others want.
	ShareDemand(ctx context.Context, gateway faas.GatewayID, own []faas.Demand, lead time.Duration) (term int64, others []faas.Demand, err error)
	// LeaveLead takes that back; another gateway may lead at once.
	LeaveLead(ctx context.Context, gateway faas.GatewayID) error
	// PublishExit tells every gateway a line about the end of a kept runner.
	PublishExit(ctx context.Context, line string) error
}

// Launcher brings runners up.
type Launcher interface {
	// Launch starts a runner for one invocation; twice for the same one starts one.
	// The command's timeout is the runner's to keep, and may serve as a bound on the runner's own life.
	Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error
	// Stop ends the runner that was launched for the invocation, whose exit is not
	// the invocation's any more; another one may be launched for it at once.
	Stop(ctx context.Context, id faas.InvocationID) error
	// Explain tells what is known of a runner that is out of touch; nothing is when it
	// seems well, or the launcher sees no more of it than others do.
	Explain(runner faas.RunnerID) (reason faas.Reason, detail string, known bool)
	Keeper
}

// Keeper keeps standby and warm runners.
type Keeper interface {
	// Scale sees to it that at least n runners of that start exist; it never ends one.
	Scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error
	// Running counts this launcher's runners, starting ones included.
	Running(ref faas.RevisionRef, start faas.Start) int
	// Retire ends the runners of a revision that were started here and have not
	// dialled in yet; the others are drained through the hub.
	Retire(ref faas.RevisionRef)
	Ender
}

// Ender ends runners that hang.
type Ender interface {
	// Counts reports whether Running counts a runner that has dialled in.
	Counts(runner faas.RunnerID) bool
	// End ends a standby or warm runner that Running counts, at once and whatever it does.
	End(ctx context.Context, runner faas.RunnerID) error
}

// Exit is faas.Exit.
type Exit = faas.Exit

// Catalog holds the registrations that are served.
type Catalog interface {
	// Live returns the revision that calls go to; NotFound, or Unavailable when none is ready.
	Live(name faas.FunctionName) (*faas.Revision, error)
	Revision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error)
	// Functions returns the live revisions.
	LiveRevisions() []*faas.Revision
}

// Meter counts; implementations must not block.
type Meter interface {
	Leading
	Runners
	Queued(delta int)
	StoreError(store string)
}

// Runners measures how calls and gaps get their runners.
type Runners interface {
	ColdStart(start faas.Start)                     // of a call that found no slot ready and waited for this one
	Refilled(start faas.Start, after time.Duration) // a kept runner is ready, so long after it was started
}

// Leading counts the invocations that this gateway leads.
type Leading interface {
	Accepted(inv *faas.Invocation) // taken on here
	Adopted()                      // taken over from another gateway
	Settled(inv *faas.Invocation)  // made final here
	Released()                     // made final, or led, by another gateway
}

// Request is faas.Call.
type Request = faas.Call

// Reply is faas.Reply.
type Reply = faas.Reply
