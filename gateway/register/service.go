package register

import (
	"context"
	"log/slog"
	"time"

	"davit/internal/archive"
	"davit/internal/faas"
)

// Options are the parts and settings of a Service. All are required unless their comment says what they may be.
type Options struct {
	Gateway      faas.GatewayID
	Revisions    RevisionStore
	Functions    FunctionStore
	Triggers     TriggerStore
	Versions     VersionStore
	Objects      Objects
	Builder      Builder
	Readier      Readier
	Catalog      *Catalog
	Gateways     Gateways
	Defaults     faas.Defaults
	Capabilities faas.Capabilities
	Secrets      Secrets                                               // nil: the secrets of a function are not checked
	Forget       func(ctx context.Context, ref faas.RevisionRef) error // deletes what other packages keep of a deleted revision, before its objects are deleted; nil: nothing is kept
	Limits       archive.Limits                                        // of sources; PackedBytes 0: 100 MiB
	SpoolDir     string                                                // for uploads while they are checked; "": the system's
	Builds       int                                                   // running at a time; 0: 2
	BuildTimeout time.Duration                                         // 0: 15 min
	Log          *slog.Logger                                          // nil: nothing is logged
	Now          func() time.Time                                      // nil: time.Now
}

// Service changes registrations. Its methods may be called concurrently. Errors that a user may read are *faas.Error.
type Service struct {
	o         Options
	reader    reader
	objects   objects
	locks     *nameLocks
	logs      logStore
	publisher *publisher
	deletions *deletions
	builds    *builds
	repairer  *repairer
}
