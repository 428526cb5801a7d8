package records

import (
	"context"
	"io"
	"log/slog"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// Calls reads the calls that this gateway leads, and Redis for others. Package dispatch says what each method promises.
type Calls interface {
	Find(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error)
	View(id faas.InvocationID) (view faas.CallView, leads bool)
	CatchUp(ctx context.Context, byState bool)
	Changed() <-chan struct{}
}

// Remote knows of invocations that other gateways lead.
type Remote interface {
	// Ending reports whether a runner connected here has ended the invocation.
	Ending(id faas.InvocationID) bool
}

// Archive lists records and removes expired ones.
type Archive interface {
	ListInvocations(ctx context.Context, f faas.InvocationFilter) (items []*faas.Invocation, next string, err error)
	ExpiredInvocations(ctx context.Context, now time.Time, most int) ([]*faas.Invocation, error)
	// DeleteInvocation deletes a final record. If again is set, ExpiredInvocations returns the bare id once more after
	// that time, so that objects that were uploaded late are removed, too.
	DeleteInvocation(ctx context.Context, id faas.InvocationID, again time.Time) error
}

// Logs reads the logs of running invocations.
type Logs interface {
	// Log reads from the runner; with follow to the end of the command. hub.ErrAway and hub.ErrGone: there is no log
	// yet, or no longer.
	Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error)
	// Owner returns the connected runner that owns an invocation.
	Owner(id faas.InvocationID) (faas.RunnerID, bool)
}

// Options are the parts that a Reader works with. All are required.
type Options struct {
	Calls      Calls
	Remote     Remote
	Archive    Archive
	Logs       Logs
	Objects    blob.Store
	Signer     blob.Signer // a blob.MultipartSigner, where the store takes multipart uploads
	StoreError func(store string)
	Grace      time.Duration // how long a runner may be out of touch before it counts as lost
	PartBytes  faas.Bytes    // of a multipart upload; 0: 64 MiB
	Log        *slog.Logger
	Now        func() time.Time
}
