package register

import (
	"context"
	"errors"
	"fmt"

	"davit/internal/blob"
	"davit/internal/faas"
)

// publish brings a revision that is ready or failed into the registry, and
// before that the copy of which one is live, when this will be it.
func (s *Service) publish(ctx context.Context, rev *faas.Revision) (int64, error) {
	defer s.names.lock("f/" + string(rev.Function))()
	f, err := s.o.Functions.FindFunction(ctx, rev.Function)
	if err != nil {
		return 0, err
	}
	becomes := rev.State == faas.RevisionReady && rev.Number > f.Live
	if becomes {
		if err := s.putLive(ctx, rev.Function, rev.Number); err != nil {
			return 0, err
		}
	}
	version, err := s.o.Revisions.SaveRevision(ctx, rev)
	switch {
	case faas.KindOf(err) == faas.Conflict:
		return 0, s.followRevision(ctx, rev.Ref())
	case err != nil || !becomes:
		return version, err
	}
	return version, s.followLive(ctx, rev.Function, rev.Number)
}

// followRevision makes the copy of a revision what the registry has: another
// gateway ended its build before.
func (s *Service) followRevision(ctx context.Context, ref faas.RevisionRef) error {
	rev, err := s.o.Revisions.FindRevision(ctx, ref)
	if err != nil {
		return err
	}
	if err := s.copies.putRevision(ctx, rev); err != nil {
		return err
	}
	f, err := s.o.Functions.FindFunction(ctx, ref.Function)
	if err != nil || f.Live == 0 {
		return err
	}
	return s.putLive(ctx, ref.Function, f.Live)
}

func (s *Service) putLive(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error {
	return s.copies.put(ctx, functionKey(name, liveObject), live{Revision: number, At: s.o.Now().UTC()}, blob.PutOptions{})
}

// followLive makes the copy of which revision is live what the registry has,
// should another gateway have switched over at the same time.
func (s *Service) followLive(ctx context.Context, name faas.FunctionName, wrote faas.RevisionNumber) error {
	f, err := s.o.Functions.FindFunction(ctx, name)
	if err != nil || f.Live == wrote || f.Live == 0 {
		return err
	}
	return s.putLive(ctx, name, f.Live)
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
	f, err := s.o.Functions.FindFunction(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	rev, err := s.o.Revisions.FindRevision(ctx, faas.RevisionRef{Function: name, Number: number})
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
	version, err := s.o.Functions.Rollback(ctx, name, number)
	if err != nil {
		_ = s.putLive(ctx, name, f.Live) // else a repair makes it so
		return 0, err
	}
	return version, s.followLive(ctx, name, number)
}
