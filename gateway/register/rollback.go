package register

import (
	"context"
	"errors"
	"fmt"

	"davit/internal/faas"
)

// Rollback makes a ready revision live again, under its own number, once its first runner is parked. The error is
// Conflict, and nothing changes, if the revision is not ready or gets no runner.
func (s *Service) Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error {
	version, release, err := s.rollback(ctx, name, number)
	if err != nil {
		return readable(fmt.Errorf("roll back function %q to revision %d: %w", name, number, err))
	}
	defer release()
	s.publisher.await(ctx, version)
	return nil
}

// rollback returns release, which the caller must call when the gateways serve the version.
func (s *Service) rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (version int64, release func(), err error) {
	f, rev, err := s.publisher.findReady(ctx, name, number)
	if err != nil {
		return 0, nil, err
	}
	release = func() {}
	if f.Live != number {
		if release, err = s.o.Readier.Ready(ctx, rev, &buildLog{}); err != nil {
			return 0, nil, staysLive(f, number, err)
		}
	}
	if version, err = s.publisher.makeLive(ctx, name, number); err != nil {
		release()
		return 0, nil, err
	}
	return version, release, nil
}

// staysLive returns the error for the user of a rollback to a revision that gets no runner.
func staysLive(f *faas.Function, number faas.RevisionNumber, err error) error {
	e, ok := errors.AsType[*faas.Error](err)
	if !ok || e.Kind != faas.BuildFailed {
		return err
	}
	return &faas.Error{
		Kind: faas.Conflict, LogTail: e.LogTail, Err: e.Err,
		Detail: fmt.Sprintf("revision %d of function %q gets no runner ready, and revision %d stays live: %s", number, f.Name, f.Live, e.Detail),
	}
}
