package dispatch

import (
	"context"
	"io"
	"log/slog"
	"time"

	"davit/gateway/hub"
	"davit/internal/blob"
	"davit/internal/faas"
)

// Slots gives out the slots of parked runners.
type Slots interface {
	// TryClaim returns a slot that is free now, or nil.
	TryClaim(want hub.Want) *hub.Slot
	// Claim waits for a slot.
	Claim(ctx context.Context, want hub.Want) (*hub.Slot, error)
}

// Running reaches the runners that own invocations.
type Running interface {
	// Attach waits for the answer of an invocation, also while its runner is away.
	Attach(ctx context.Context, id faas.InvocationID) (*hub.Answer, error)
	// Owner returns the connected runner that owns an invocation.
	Owner(id faas.InvocationID) (faas.RunnerID, bool)
	Cancel(ctx context.Context, id faas.InvocationID) error
	// Keep makes the runner store a result that it would not have stored.
	Keep(ctx context.Context, id faas.InvocationID) error
}

// Acknowledger tells runners which outcomes are safe.
type Acknowledger interface {
	AckAll(ctx context.Context, ids []faas.InvocationID) error
}

// Launcher starts runners for single calls.
type Launcher interface {
	// Launch starts a runner for one invocation; a second Launch for the same one starts none. The runner keeps the
	// command's timeout itself; a launcher may use it as a bound on the runner's life.
	Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error
	// Stop ends the runner that was launched for the invocation. Its exit is not the invocation's any more; another
	// runner may be launched for the invocation at once.
	Stop(ctx context.Context, id faas.InvocationID) error
}

// Fleet decides how many standby and warm runners there are.
type Fleet interface {
	// Note counts a call.
	Note(rev *faas.Revision, mode faas.Mode)
	// Wait adds a call that waits for a warm slot to the demand, until done.
	Wait(rev *faas.Revision) (done func())
	// Cover counts a call that started a job because no standby was free, until done.
	Cover(rev *faas.Revision) (done func())
}

// Catalog has the registrations that are served.
type Catalog interface {
	// Live returns the revision that calls go to; NotFound, or Unavailable when none is ready.
	Live(name faas.FunctionName) (*faas.Revision, error)
	Revision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error)
}

// Records keeps invocation records. A final record never changes its state again, whoever writes.
type Records interface {
	// SaveInvocations creates or updates records, never over a final one or a later attempt.
	SaveInvocations(ctx context.Context, invs []*faas.Invocation) error
	// Settle makes a record final. applied is false if it was final already; then settled is the record that stands.
	Settle(ctx context.Context, inv *faas.Invocation) (settled *faas.Invocation, applied bool, err error)
	// UpdateInvocation changes one record atomically.
	UpdateInvocation(ctx context.Context, id faas.InvocationID, change func(*faas.Invocation) error) (*faas.Invocation, error)
	// FindInvocation returns the record or a NotFound error.
	FindInvocation(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error)
}

// Queue is the durable queue of accepted invocations.
type Queue interface {
	// Enqueue writes the record and its lease at once.
	Enqueue(ctx context.Context, inv *faas.Invocation, until time.Time) error
	// Bind ties an attempt to a runner; Conflict if the invocation is final, cancelled or bound elsewhere.
	Bind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error
	// Unbind takes a Bind back whose commit never reached the runner.
	Unbind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error
}

// Leases say which gateway leads an accepted invocation, and for how long.
type Leases interface {
	// Renew prolongs leases; lost are the invocations that this gateway does not lead any more.
	Renew(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID, until time.Time) (lost []faas.InvocationID, err error)
	ReleaseLeases(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID) error
}

// Permits bound the running jobs of a function on all gateways, under leases, and the runners of all functions, where
// functions that wait take turns.
type Permits interface {
	// AcquirePermit takes one of most permits of the function and one of all runners; all is 0 where runners are not
	// bounded.
	AcquirePermit(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, most, all int, until time.Time) (bool, error)
	RenewPermits(ctx context.Context, fn faas.FunctionName, ids []faas.InvocationID, until time.Time) error
	ReleasePermit(ctx context.Context, fn faas.FunctionName, id faas.InvocationID) error
}

// Publisher reaches the other gateways.
type Publisher interface {
	// PublishCancel asks every gateway to cancel an invocation.
	PublishCancel(ctx context.Context, id faas.InvocationID) error
}

// Objects is the store that holds inputs and outcomes.
type Objects interface {
	Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error)
	Get(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, blob.Info, error)
}

// Signer signs URLs that runners use.
type Signer interface {
	SignPut(ctx context.Context, key blob.Key, ttl time.Duration) (string, error)
	SignRunnerGet(ctx context.Context, key blob.Key, ttl time.Duration) (string, error)
}

// Meter counts the invocations that this gateway leads; it must not block.
type Meter interface {
	Accepted(inv *faas.Invocation) // taken on here
	Adopted()                      // taken over from another gateway
	Settled(inv *faas.Invocation)  // made final here
	Released()                     // made final, or led, by another gateway
}

// CallMeter measures how calls get their slots; it must not block.
type CallMeter interface {
	Queued(delta int)
	ColdStart(start faas.Start) // of a call that found no free slot and waited for this one
	StoreError(store string)
}

// Options are the parts that a Dispatcher works with. All are required.
type Options struct {
	Gateway   faas.GatewayID
	Slots     Slots
	Running   Running
	Acks      Acknowledger
	Launcher  Launcher
	Fleet     Fleet
	Catalog   Catalog
	Records   Records
	Queue     Queue
	Leases    Leases
	Permits   Permits
	Publisher Publisher
	Objects   Objects
	Signer    Signer
	Meter     Meter
	CallMeter CallMeter
	Limits    Limits
	Log       *slog.Logger
	Now       func() time.Time
}

// Limits are settings of the whole installation.
type Limits struct {
	MaxLog    faas.Bytes    // of one invocation
	MaxResult faas.Bytes    // of one invocation
	Grace     time.Duration // how long a runner may be out of touch before it counts as lost
	Lease     time.Duration // how long an accepted invocation waits for a gateway that died
	Drain     time.Duration // how long a stopping gateway waits for running calls
	Runners   int           // of all functions at once, on all gateways; 0: any number
}
