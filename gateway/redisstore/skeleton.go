// Package redisstore keeps everything that Davit holds in Redis.
package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"davit/gateway/faas"
)

// ErrEmpty is in the chain of every registry error before the first Restore of
// an empty Redis, so that no registration is made over lost ones.
var ErrEmpty = errors.New("the registry is empty")

var errUnwritten = errors.New("not written yet")

// Options says where the Redis is.
type Options struct {
	URL    string // redis://[user:password@]host:port[/db], rediss:// or unix://
	Prefix string // of every key; "" means "davit:"
	Log    *slog.Logger
	Now    func() time.Time
}

// Store is everything that Davit holds in one Redis.
type Store struct{}

// Open connects lazily: it fails only when the URL cannot be read.
func Open(ctx context.Context, o Options) (*Store, error) { return nil, errUnwritten }

// Close ends all connections.
func (s *Store) Close() error { return errUnwritten }

// Ready is nil when Redis answers and takes writes.
func (s *Store) Ready(ctx context.Context) error { return errUnwritten }

// Secret returns the installation's 32 random bytes, the same for every caller; the first call makes them.
func (s *Store) Secret(ctx context.Context) ([]byte, error) { return nil, errUnwritten }

// AddRevision adds the next revision, building.
func (s *Store) AddRevision(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, at time.Time) (*faas.Revision, bool, error) {
	return nil, false, errUnwritten
}

// SaveRevision writes a revision; ready and newer than the live one, it becomes live.
func (s *Store) SaveRevision(ctx context.Context, rev *faas.Revision) (int64, error) {
	return 0, errUnwritten
}

// Rollback makes a ready revision live.
func (s *Store) Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (int64, error) {
	return 0, errUnwritten
}

// FindFunction returns the function or a NotFound error.
func (s *Store) FindFunction(ctx context.Context, name faas.FunctionName) (*faas.Function, error) {
	return nil, errUnwritten
}

// FindRevision returns the revision or a NotFound error.
func (s *Store) FindRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error) {
	return nil, errUnwritten
}

// ListFunctions lists by name; next is the cursor of the next page, "" at the end.
func (s *Store) ListFunctions(ctx context.Context, limit int, cursor string) ([]*faas.Function, string, error) {
	return nil, "", errUnwritten
}

// ListRevisions lists a function's revisions, newest first.
func (s *Store) ListRevisions(ctx context.Context, name faas.FunctionName, limit int, cursor string) ([]*faas.Revision, string, error) {
	return nil, "", errUnwritten
}

// DeleteFunction deletes a function with its revisions; Conflict names its triggers unless withTriggers, which deletes them too.
func (s *Store) DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) (int64, error) {
	return 0, errUnwritten
}

// SaveTrigger creates or replaces a trigger.
func (s *Store) SaveTrigger(ctx context.Context, t *faas.Trigger, slots []string) (created bool, version int64, err error) {
	return false, 0, errUnwritten
}

// FindTrigger returns the trigger or a NotFound error.
func (s *Store) FindTrigger(ctx context.Context, name faas.TriggerName) (*faas.Trigger, error) {
	return nil, errUnwritten
}

// ListTriggers lists by name.
func (s *Store) ListTriggers(ctx context.Context, limit int, cursor string) ([]*faas.Trigger, string, error) {
	return nil, "", errUnwritten
}

// TriggersOf returns the names of a function's triggers, in order.
func (s *Store) TriggersOf(ctx context.Context, name faas.FunctionName) ([]faas.TriggerName, error) {
	return nil, errUnwritten
}

// DeleteTrigger deletes a trigger.
func (s *Store) DeleteTrigger(ctx context.Context, name faas.TriggerName) (int64, error) {
	return 0, errUnwritten
}

// Changes is what happened to the registrations since a version.
type Changes struct {
	Version   int64               // to ask for the next changes with
	Full      bool                // what changed is not known: take a Snapshot
	Functions []faas.FunctionName // changed or deleted
	Triggers  []faas.TriggerName
}

// Changes returns what changed after version since.
func (s *Store) Changes(ctx context.Context, since int64) (Changes, error) {
	return Changes{}, errUnwritten
}

// Snapshot is all registrations.
type Snapshot struct {
	Version   int64
	Functions []*faas.Function
	Revisions []*faas.Revision // of all functions, by function and number
	Triggers  []*faas.Trigger
	Deleted   map[faas.FunctionName]faas.RevisionNumber // the last number that a deleted function used
}

// Snapshot returns all registrations; changes after its Version may be in it, never missing from Changes.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) { return nil, errUnwritten }

// Restore fills in what Redis lost. The registry of an empty Redis opens with
// it, an empty snapshot will do; until then every registration answers ErrEmpty.
func (s *Store) Restore(ctx context.Context, all *Snapshot, slots func(*faas.Trigger) ([]string, error)) error {
	return errUnwritten
}

// Gateway is one live gateway process.
type Gateway struct {
	ID         faas.GatewayID
	RunnerAddr string // of its runner listener, host:port
	Applied    int64  // the registry version that it serves
}

// Beat says that a gateway lives: to be called each second; it is gone after 3 s without.
func (s *Store) Beat(ctx context.Context, g Gateway) error { return errUnwritten }

// Leave takes a gateway out of the live set at once.
func (s *Store) Leave(ctx context.Context, id faas.GatewayID) error { return errUnwritten }

// LiveGateways returns the live gateways by id.
func (s *Store) LiveGateways(ctx context.Context) ([]Gateway, error) { return nil, errUnwritten }

// LiveGatewayIDs returns the ids of the live gateways, in order.
func (s *Store) LiveGatewayIDs(ctx context.Context) ([]faas.GatewayID, error) {
	return nil, errUnwritten
}

// AwaitApplied returns as soon as every live gateway serves version or a later one; after most, Unavailable names those that do not.
func (s *Store) AwaitApplied(ctx context.Context, version int64, most time.Duration) error {
	return errUnwritten
}

// SaveInvocations creates or updates records, never over a final one or a later attempt.
func (s *Store) SaveInvocations(ctx context.Context, invs []*faas.Invocation) error {
	return errUnwritten
}

// UpdateInvocation changes one record atomically.
func (s *Store) UpdateInvocation(ctx context.Context, id faas.InvocationID, change func(*faas.Invocation) error) (*faas.Invocation, error) {
	return nil, errUnwritten
}

// Settle makes a record final, once.
func (s *Store) Settle(ctx context.Context, inv *faas.Invocation) (settled *faas.Invocation, applied bool, err error) {
	return nil, false, errUnwritten
}

// FindInvocation returns the record or a NotFound error.
func (s *Store) FindInvocation(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	return nil, errUnwritten
}

// ListInvocations lists newest first.
func (s *Store) ListInvocations(ctx context.Context, f faas.InvocationFilter) (items []*faas.Invocation, next string, err error) {
	return nil, "", errUnwritten
}

// ExpiredInvocations returns at most n records whose time is over, the oldest first.
func (s *Store) ExpiredInvocations(ctx context.Context, now time.Time, most int) ([]*faas.Invocation, error) {
	return nil, errUnwritten
}

// DeleteInvocation deletes a final record.
func (s *Store) DeleteInvocation(ctx context.Context, id faas.InvocationID) error {
	return errUnwritten
}

// Totals counts invocations: Accepted = in flight + Final, always.
type Totals struct {
	Accepted, Final           int64 // since the Redis was empty
	Queued, Starting, Running int64 // now
}

// Totals returns the counts, all of one instant.
func (s *Store) Totals(ctx context.Context) (Totals, error) { return Totals{}, errUnwritten }

// Enqueue writes the record and the lease at once.
func (s *Store) Enqueue(ctx context.Context, inv *faas.Invocation, until time.Time) error {
	return errUnwritten
}

// Renew prolongs leases that the gateway still holds.
func (s *Store) Renew(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID, until time.Time) error {
	return errUnwritten
}

// TakeExpired gives the gateway at most n entries whose lease is over.
func (s *Store) TakeExpired(ctx context.Context, gateway faas.GatewayID, now, until time.Time, most int) ([]*faas.Invocation, error) {
	return nil, errUnwritten
}

// ReleaseLeases lets any gateway take what the gateway leads.
func (s *Store) ReleaseLeases(ctx context.Context, gateway faas.GatewayID, ids []faas.InvocationID) error {
	return errUnwritten
}

// Bind ties an attempt to a runner; Conflict when it is final, cancelled or bound elsewhere.
func (s *Store) Bind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error {
	return errUnwritten
}

// Unbind undoes Bind, for a runner that is known not to have run the attempt.
func (s *Store) Unbind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error {
	return errUnwritten
}

// PublishCancel marks an invocation as cancelled, so that Bind refuses it, and tells every gateway.
func (s *Store) PublishCancel(ctx context.Context, id faas.InvocationID) error {
	return errUnwritten
}

// AcquirePlace takes a place among a function's running jobs; the same id twice takes one.
func (s *Store) AcquirePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, most int, until time.Time) (bool, error) {
	return false, errUnwritten
}

// RenewPlaces prolongs places.
func (s *Store) RenewPlaces(ctx context.Context, fn faas.FunctionName, ids []faas.InvocationID, until time.Time) error {
	return errUnwritten
}

// ReleasePlace gives a place back.
func (s *Store) ReleasePlace(ctx context.Context, fn faas.FunctionName, id faas.InvocationID) error {
	return errUnwritten
}

// MessageKind is what a message tells.
type MessageKind string

// The kinds of messages.
const (
	KindRegistry   MessageKind = "registry"   // registrations changed: Version
	KindApplied    MessageKind = "applied"    // Gateway serves Version
	KindPeers      MessageKind = "peers"      // Gateway joined, moved or left
	KindInvocation MessageKind = "invocation" // Invocation of Function and Trigger is now in State
	KindCancel     MessageKind = "cancel"     // Invocation is to be cancelled
	KindPlace      MessageKind = "place"      // a place among Function's jobs is free
	KindResync     MessageKind = "resync"     // messages may have been missed: look at everything
)

// Message is what one gateway tells all, itself included.
type Message struct {
	Kind       MessageKind
	Version    int64
	Gateway    faas.GatewayID
	Invocation faas.InvocationID
	State      faas.State
	Function   faas.FunctionName
	Trigger    faas.TriggerName
}

// Run keeps the subscription up until ctx ends, and returns nil then.
func (s *Store) Run(ctx context.Context) error { return errUnwritten }

// Subscribe returns the messages from now on.
func (s *Store) Subscribe() (<-chan Message, func()) { return nil, nil }
