package register

import (
	"context"
	"io"
	"iter"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// RevisionStore holds the revisions of functions.
type RevisionStore interface {
	// AddRevision adds the next revision, in state building, and the function if it is new.
	AddRevision(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, at time.Time) (rev *faas.Revision, created bool, err error)
	// SaveRevision writes a revision; one that is ready and newer than the live one becomes live.
	SaveRevision(ctx context.Context, rev *faas.Revision) (version int64, err error)
	// FindRevision returns the revision or a NotFound error.
	FindRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error)
}

// FunctionStore holds functions.
type FunctionStore interface {
	// FindFunction returns the function or a NotFound error.
	FindFunction(ctx context.Context, name faas.FunctionName) (*faas.Function, error)
	// Rollback makes a ready revision live: NotFound, or Conflict when it is not ready.
	Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (version int64, err error)
	// DeleteFunction deletes a function with its revisions; Conflict names its triggers unless withTriggers.
	DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) (version int64, err error)
}

// TriggerStore holds triggers.
type TriggerStore interface {
	// SaveTrigger creates or replaces a trigger. Conflict: another one has one of its slots, which are
	// its methods with the shape of its path; NotFound: its function is not there.
	SaveTrigger(ctx context.Context, t *faas.Trigger, slots []string) (created bool, version int64, err error)
	// FindTrigger returns the trigger or a NotFound error.
	FindTrigger(ctx context.Context, name faas.TriggerName) (*faas.Trigger, error)
	// TriggersOf returns the names of a function's triggers.
	TriggersOf(ctx context.Context, name faas.FunctionName) ([]faas.TriggerName, error)
	// DeleteTrigger deletes a trigger or returns a NotFound error.
	DeleteTrigger(ctx context.Context, name faas.TriggerName) (version int64, err error)
}

// VersionStore tells what changed, and waits until all gateways serve it.
type VersionStore interface {
	Changes(ctx context.Context, since int64) (faas.Changes, error)
	Snapshot(ctx context.Context) (*faas.Snapshot, error)
	// Restore fills in what the registry lost and opens an empty one. It keeps numbers and changes nothing that is there.
	Restore(ctx context.Context, all *faas.Snapshot) error
	// AwaitApplied returns as soon as every live gateway serves that version; after most, an Unavailable error names those that do not.
	AwaitApplied(ctx context.Context, version int64, most time.Duration) error
}

// Objects is the store that holds the copies, which are the truth.
type Objects interface {
	Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error)
	Get(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, blob.Info, error)
	List(ctx context.Context, prefix string, after blob.Key) iter.Seq2[blob.Info, error]
	Delete(ctx context.Context, key blob.Key) error
}

// Secrets are the values that functions name.
type Secrets interface {
	// Missing returns those of the names that no secret has.
	Missing(ctx context.Context, names []string) ([]string, error)
}

// Gateways tells which gateways live, so that a build whose gateway died is done again.
type Gateways interface {
	LiveGatewayIDs(ctx context.Context) ([]faas.GatewayID, error)
}

// Readier brings up runners of a revision that is to become live.
type Readier interface {
	// Ready returns once a runner of the revision waits for calls, at once where its mode keeps none.
	// Until done is called runners of it stay; then they go unless the revision is live. It writes what a
	// user wants to read to log. An error of kind BuildFailed says that none gets ready, and why;
	// Unavailable, that it is worth to ask again.
	Ready(ctx context.Context, rev *faas.Revision, log io.Writer) (done func(), err error)
}

// Builder turns a revision's source into what its runners start with.
type Builder interface {
	// Build writes what a user wants to read to log. source is nil when the spec names an image. An error of
	// kind BuildFailed is the source's fault; its detail is for the user. It is safe to call again.
	Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (faas.Built, error)
}
