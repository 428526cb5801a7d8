package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"davit/internal/archive"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/signal"
)

// Options are the parts and settings of a Service. Parts are required.
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
	Secrets      Secrets                                               // nil: there are none
	Forget       func(ctx context.Context, ref faas.RevisionRef) error // what others keep of a revision that is deleted, before its copies go; nil: nothing
	Limits       archive.Limits                                        // of sources; zero PackedBytes: 100 MiB
	SpoolDir     string                                                // for uploads that are being checked; "": the system's
	Builds       int                                                   // at once; 0: 2
	BuildTimeout time.Duration                                         // 0: 15 min
	Log          *slog.Logger
	Now          func() time.Time
}

const (
	awaitMost = 2 * time.Second // for other gateways to serve a change
	writeMost = time.Minute     // for what must not stop half way
)

// Service changes registrations. Its methods may be called at the same time.
// Their errors that a user may read are *faas.Error.
type Service struct {
	o      Options
	copies copies

	base   context.Context //nolint:containedctx // the life of builds, which no caller waits for
	stop   context.CancelCauseFunc
	work   sync.WaitGroup // builds, below base
	places chan struct{}  // one for each build at once

	soon signal.Wake // there is something to repair

	names nameLocks

	mu      sync.Mutex
	closing bool
	builds  map[faas.RevisionRef]*build
	tails   map[faas.FunctionName]*build // the last in line of each function
}

// applied waits until this gateway and all others serve a version. One that
// does not within 2 s is only told about: what was registered stays registered.
func (s *Service) applied(ctx context.Context, version int64) {
	s.o.Catalog.Wake()
	own, cancel := context.WithTimeout(ctx, awaitMost)
	defer cancel()
	err := s.o.Catalog.await(own, version)
	if err == nil {
		err = s.o.Versions.AwaitApplied(ctx, version, awaitMost)
	}
	if err != nil {
		s.o.Log.Warn("a registration is not yet served by every gateway", "version", version, "error", err)
	}
}

// served waits like applied for whatever is registered by now: another gateway may have ended a build just before.
func (s *Service) served(ctx context.Context) {
	changes, err := s.o.Versions.Changes(ctx, s.o.Catalog.Applied())
	if err != nil {
		s.o.Log.Warn("a registration may not yet be served by every gateway", "error", err)
		return
	}
	s.applied(ctx, changes.Version)
}

// unstoppable is ctx for what must not stop half way when a caller hangs up.
func unstoppable(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeMost)
}

// away makes errors of the store into what users may read; others stay.
func away(err error) error {
	var e *faas.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if errors.Is(err, blob.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return &faas.Error{Kind: faas.Unavailable, Detail: "the object store does not answer; try again in a moment", RetryAfter: 2 * time.Second, Err: err}
	}
	return err
}

// Refused returns the NotAllowed error for fields of a function, trigger or form, which what names.
func Refused(what string, fields []faas.FieldError) error {
	e := faas.Errorf(faas.NotAllowed, "the %s has a field that is not allowed", what)
	if len(fields) > 1 {
		e.Detail = fmt.Sprintf("the %s has %d fields that are not allowed", what, len(fields))
	}
	e.Fields = fields
	return e
}
