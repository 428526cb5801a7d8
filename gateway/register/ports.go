package register

import (
	"context"
	"io"
	"iter"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// The registry consists of four stores. Each change of functions and triggers gets a version. A change that has
// returned is part of every later snapshot.

// RevisionStore stores the revisions of functions.
type RevisionStore interface {
	// AddRevision adds the next revision, in state building, and the function if it is new.
	AddRevision(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, at time.Time) (rev *faas.Revision, created bool, err error)
	// SaveRevision writes a revision. A ready revision that is newer than the live one becomes live. The error is
	// NotFound if the function was deleted, Conflict if the stored revision is ready or failed and rev is not the same.
	SaveRevision(ctx context.Context, rev *faas.Revision) (version int64, err error)
	// FindRevision returns the revision or a NotFound error.
	FindRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error)
}

// FunctionStore stores functions.
type FunctionStore interface {
	// FindFunction returns the function or a NotFound error.
	FindFunction(ctx context.Context, name faas.FunctionName) (*faas.Function, error)
	// Rollback makes a ready revision live. The error is NotFound if the revision does not exist, Conflict if it is not
	// ready.
	Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (version int64, err error)
	// DeleteFunction deletes a function with its revisions, and with its triggers if withTriggers is set. Otherwise a
	// function that has triggers is a Conflict, which names them.
	DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) (version int64, err error)
}

// TriggerStore stores triggers.
type TriggerStore interface {
	// SaveTrigger creates or replaces a trigger. slots are its methods with the shape of its path. The error is
	// Conflict if another trigger has one of the slots, NotFound if the function does not exist.
	SaveTrigger(ctx context.Context, t *faas.Trigger, slots []string) (created bool, version int64, err error)
	// FindTrigger returns the trigger or a NotFound error.
	FindTrigger(ctx context.Context, name faas.TriggerName) (*faas.Trigger, error)
	// TriggersOf returns the names of a function's triggers.
	TriggersOf(ctx context.Context, name faas.FunctionName) ([]faas.TriggerName, error)
	// DeleteTrigger deletes a trigger or returns a NotFound error.
	DeleteTrigger(ctx context.Context, name faas.TriggerName) (version int64, err error)
}

// VersionStore reports changes of the registry. Changes and Snapshot return faas.ErrEmpty if the registry lost its
// contents, until Restore.
type VersionStore interface {
	// Changes returns the names of the registrations that changed after version since.
	Changes(ctx context.Context, since int64) (faas.Changes, error)
	// Snapshot returns all functions, live revisions and triggers.
	Snapshot(ctx context.Context) (*faas.Snapshot, error)
	// Restore adds the registrations that the registry lost, and opens an empty registry. It keeps revision numbers and
	// does not change registrations that exist.
	Restore(ctx context.Context, all *faas.Snapshot) error
	// AwaitApplied returns nil as soon as every live gateway serves the version. After most it returns an Unavailable
	// error, which names the gateways that do not.
	AwaitApplied(ctx context.Context, version int64, most time.Duration) error
}

// Objects is the object store, which is authoritative for registrations.
type Objects interface {
	Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error)
	Get(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, blob.Info, error)
	List(ctx context.Context, prefix string, after blob.Key) iter.Seq2[blob.Info, error]
	Delete(ctx context.Context, key blob.Key) error
}

// Secrets are the secrets that functions can name.
type Secrets interface {
	// Missing returns those of names for which there is no secret.
	Missing(ctx context.Context, names []string) ([]string, error)
}

// Gateways lists the gateways that are alive. A build whose gateway died is built again.
type Gateways interface {
	LiveGatewayIDs(ctx context.Context) ([]faas.GatewayID, error)
}

// Readier starts runners of a revision before the revision becomes live.
type Readier interface {
	// Ready returns when a runner of the revision is parked, or at once if the revision's mode keeps no runners. Its
	// runners stay until the caller calls done, and after that as long as the revision is live. Ready writes its
	// progress for the user to log. The error is BuildFailed if no runner becomes ready, with the reason, and
	// Unavailable if the caller should try again.
	Ready(ctx context.Context, rev *faas.Revision, log io.Writer) (done func(), err error)
}

// Builder builds revisions from their sources.
type Builder interface {
	// Build writes its progress for the user to log. source is nil if the spec names an image. The error is
	// BuildFailed, with a detail for the user, if the source is at fault. A build may be repeated.
	Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (faas.Built, error)
}
