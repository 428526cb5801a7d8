package recovery

import (
	"context"
	"log/slog"
	"time"

	"davit/gateway/hub"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
)

// Calls takes over invocations. Package dispatch says what each method promises.
type Calls interface {
	Leads(id faas.InvocationID) bool
	Adopt(ctx context.Context, record *faas.Invocation, runner faas.RunnerID) (isCommitted bool)
	Resume(id faas.InvocationID)
	Settle(id faas.InvocationID, o *task.Outcome, uploaded bool)
}

// Losses settles calls whose runner is gone.
type Losses interface {
	Lose(id faas.InvocationID, reason faas.Reason, detail string)
	Miss(id faas.InvocationID)
	TakeSilent(longer time.Duration) []faas.SilentCall
	Resolve(id faas.InvocationID, reason faas.Reason, detail string)
}

// Retakes frees accepted calls from runners that never got the whole of them.
type Retakes interface {
	Unowned() []faas.SilentCall
	Retake(id faas.InvocationID)
}

// Handover leaves invocations to the gateways that made them final.
type Handover interface {
	Adopted() []faas.InvocationID
	IsOpen(id faas.InvocationID) bool
	HandOver(record *faas.Invocation) bool
}

// Hub reaches the runners that are connected to this gateway.
type Hub interface {
	Runners() []hub.Status
	// Owner returns the connected runner that owns an invocation.
	Owner(id faas.InvocationID) (faas.RunnerID, bool)
	AckAll(ctx context.Context, ids []faas.InvocationID) error
	Drain(ctx context.Context, runner faas.RunnerID) error
}

// Records reads records and leases in Redis.
type Records interface {
	FindInvocation(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error)
	ListInvocations(ctx context.Context, f faas.InvocationFilter) (items []*faas.Invocation, next string, err error)
	// TakeExpired takes over accepted invocations whose lease has ended, at most so many.
	TakeExpired(ctx context.Context, gateway faas.GatewayID, now, until time.Time, most int) ([]*faas.Invocation, error)
	LiveGatewayIDs(ctx context.Context) ([]faas.GatewayID, error)
}

// Launcher knows why runners are out of touch.
type Launcher interface {
	// Explain returns what is known of a runner; known is false if the runner seems well, or the launcher sees no more
	// of it than others do.
	Explain(runner faas.RunnerID) (reason faas.Reason, detail string, known bool)
}

// Options are the parts that a Recoverer works with. All are required but Uploads.
type Options struct {
	Gateway  faas.GatewayID
	Calls    Calls
	Losses   Losses
	Retakes  Retakes
	Handover Handover
	Hub      Hub
	Records  Records
	Launcher Launcher
	Uploads  blob.UploadSweeper // nil: the store takes no multipart uploads
	Grace    time.Duration      // how long a runner may be out of touch before it counts as lost
	Lease    time.Duration      // how long an accepted invocation waits for a gateway that died
	Log      *slog.Logger
	Now      func() time.Time
}
