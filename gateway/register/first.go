package register

import (
	"context"
	"errors"
	"fmt"

	"davit/internal/faas"
)

// bringUp has the first runner of a built revision wait for calls, so that the
// revision can become live without any of them waiting for a start. The next
// build need not wait for it.
func (s *Service) bringUp(ctx context.Context, b *build, image string) error {
	b.pass()
	next := *b.rev
	next.Image = image
	err := s.retry(ctx, "bring up the first runner of "+next.Ref().String(), func() error {
		done, err := s.o.Readier.Ready(ctx, &next, b.log)
		if err == nil {
			b.release = done
		}
		return err
	})
	var e *faas.Error
	if !errors.As(err, &e) || e.Kind != faas.BuildFailed {
		return err
	}
	if e.LogTail != "" {
		b.log.printf("the start process said last:\n%s\n", e.LogTail)
	}
	failed := *e
	failed.Detail += ". Register it again when that is mended"
	if live, err := s.o.Catalog.Live(next.Function); err == nil {
		failed.Detail += fmt.Sprintf("; until then revision %d stays live", live.Number)
	}
	return &failed
}

// Rollback makes a ready revision live again, under its own number, once its
// first runner waits for calls. When none gets ready it is a Conflict and changes nothing.
func (s *Service) Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error {
	version, release, err := s.rollback(ctx, name, number)
	if err != nil {
		return away(fmt.Errorf("roll back function %q to revision %d: %w", name, number, err))
	}
	defer release()
	s.applied(ctx, version)
	return nil
}

func (s *Service) rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (version int64, release func(), err error) {
	f, rev, err := s.rollbackTarget(ctx, name, number)
	if err != nil {
		return 0, nil, err
	}
	release = func() {}
	if f.Live != number {
		if release, err = s.o.Readier.Ready(ctx, rev, newBuildLog()); err != nil {
			return 0, nil, staysLive(f, number, err)
		}
	}
	if version, err = s.makeLive(ctx, name, number); err != nil {
		release()
		return 0, nil, err
	}
	return version, release, nil
}

// rollbackTarget finds a function and its revision, which must be ready.
func (s *Service) rollbackTarget(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (*faas.Function, *faas.Revision, error) {
	f, err := s.o.Registry.FindFunction(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	rev, err := s.o.Registry.FindRevision(ctx, faas.RevisionRef{Function: name, Number: number})
	if err != nil {
		return nil, nil, err
	}
	if rev.State != faas.RevisionReady {
		return nil, nil, faas.Errorf(faas.Conflict, "revision %d of function %q is %s; only a ready one can be live", number, name, rev.State)
	}
	return f, rev, nil
}

// staysLive is what a user reads of a rollback to a revision that gets no runner.
func staysLive(f *faas.Function, number faas.RevisionNumber, err error) error {
	var e *faas.Error
	if !errors.As(err, &e) || e.Kind != faas.BuildFailed {
		return err
	}
	return &faas.Error{
		Kind: faas.Conflict, LogTail: e.LogTail, Err: e.Err,
		Detail: fmt.Sprintf("revision %d of function %q gets no runner ready, and revision %d stays live: %s", number, f.Name, f.Live, e.Detail),
	}
}

// makeLive switches to a ready revision.
func (s *Service) makeLive(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (int64, error) {
	defer s.names.lock("f/" + string(name))()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	f, _, err := s.rollbackTarget(ctx, name, number)
	if err != nil {
		return 0, err
	}
	if err := s.putLive(ctx, name, number); err != nil {
		return 0, err
	}
	version, err := s.o.Registry.Rollback(ctx, name, number)
	if err != nil {
		_ = s.putLive(ctx, name, f.Live) // else a repair makes it so
		return 0, err
	}
	return version, s.followLive(ctx, name, number)
}
