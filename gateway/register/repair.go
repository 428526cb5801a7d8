package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/internal/faas"
)

const (
	repairEvery = 10 * time.Minute
	repairAgain = 5 * time.Second // while something is away
	// unfinishedFor is how long a registration may take between its number and its copies.
	unfinishedFor = 5 * writeMost
)

// Restore rebuilds a registry that lost everything from the store's copies, and
// opens a new one. It does nothing to one that is there. Call it before anything is served.
func (s *Service) Restore(ctx context.Context) error {
	_, err := s.o.Versions.Snapshot(ctx)
	if !errors.Is(err, faas.ErrEmpty) {
		return err
	}
	all, err := s.copies.readStored(ctx)
	if err != nil {
		return away(fmt.Errorf("restore registrations: %w", err))
	}
	snapshot := all.snapshot()
	if err := s.o.Versions.Restore(ctx, snapshot); err != nil {
		return err
	}
	if len(snapshot.Functions)+len(snapshot.Triggers) > 0 {
		s.o.Log.Warn("the registry was empty: registrations are restored from the store",
			"functions", len(snapshot.Functions), "triggers", len(snapshot.Triggers))
	}
	s.o.Catalog.Wake()
	return nil
}

// runRepair repairs at the beginning, now and then, and at once when the registry lost everything.
func (s *Service) runRepair(ctx context.Context) {
	state := flank{log: s.o.Log, what: "check registrations against their copies"}
	for {
		err := s.Restore(ctx)
		if err == nil {
			err = s.repair(ctx)
		}
		state.note(ctx, err)
		pause := repairEvery
		if err != nil {
			pause = repairAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-s.o.Catalog.lost.C():
		case <-s.soon.C():
		case <-time.After(pause):
		}
	}
}

// repair brings store and registry together, whichever is ahead, ends deletions
// that were cut off, and takes up builds that were. It may run on several
// gateways at once, and while registrations are changed.
func (s *Service) repair(ctx context.Context) error {
	all, err := s.copies.readStored(ctx)
	if err != nil {
		return err
	}
	if err := s.finishDeletions(ctx, all); err != nil {
		return err
	}
	if err := s.o.Versions.Restore(ctx, all.snapshot()); err != nil {
		return err
	}
	// What was deleted since the store was read may just have come back.
	if err := s.finishNewDeletions(ctx); err != nil {
		return err
	}
	if err := s.copyMissing(ctx, all); err != nil {
		return err
	}
	if err := s.resumeBuilds(ctx, all); err != nil {
		return err
	}
	s.o.Log.Debug("registrations and their copies agree", "functions", len(all.functions), "triggers", len(all.triggers))
	return nil
}

// finishDeletions ends what has a tombstone and is not gone yet.
func (s *Service) finishDeletions(ctx context.Context, all *stored) error {
	for name := range all.dead {
		if err := s.finishOneTrigger(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range all.leftovers {
		if err := s.removeDeadTrigger(ctx, name); err != nil {
			return err
		}
	}
	for name, f := range all.functions {
		if f.last == 0 {
			continue
		}
		if err := s.finishOneFunction(ctx, name, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) finishOneFunction(ctx context.Context, name faas.FunctionName, f *storedFunction) error {
	defer s.names.lock("f/" + string(name))()
	if err := s.finishFunctionDeletion(ctx, name); err != nil {
		return err
	}
	if f.lowest == 0 || f.lowest > f.last {
		return nil
	}
	return s.copies.deleteRevisions(ctx, name, f.last)
}

func (s *Service) finishOneTrigger(ctx context.Context, name faas.TriggerName) error {
	defer s.names.lock("t/" + string(name))()
	t, err := s.o.Triggers.FindTrigger(ctx, name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.finishTriggerDeletion(ctx, t)
	return err
}

// removeDeadTrigger removes the copy of a trigger that is gone from the registry, too.
func (s *Service) removeDeadTrigger(ctx context.Context, name faas.TriggerName) error {
	defer s.names.lock("t/" + string(name))()
	var mark tombstone
	dead, err := s.copies.get(ctx, triggerTombstone(name), &mark)
	if err != nil || !dead || s.o.Now().Sub(mark.DeletedAt) < unfinishedFor { // a young one may be about to be registered anew
		return err
	}
	return s.copies.delete(ctx, triggerKey(name))
}

func (s *Service) finishNewDeletions(ctx context.Context) error {
	functions, triggers, err := s.copies.tombstones(ctx)
	if err != nil {
		return err
	}
	for _, name := range triggers {
		if err := s.finishOneTrigger(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range functions {
		if err := s.finishOneFunction(ctx, name, &storedFunction{}); err != nil {
			return err
		}
	}
	return nil
}

// copyMissing writes the copies that registrations lack.
func (s *Service) copyMissing(ctx context.Context, all *stored) error {
	now, err := s.o.Versions.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, t := range now.Triggers {
		if there := all.triggers[t.Name]; there != nil && !t.UpdatedAt.After(there.UpdatedAt) {
			continue
		}
		if err := s.copyOneTrigger(ctx, t.Name); err != nil {
			return err
		}
	}
	for _, f := range now.Functions {
		known := all.functions[f.Name]
		if known == nil {
			known = &storedFunction{}
		}
		if err := s.copyRevisions(ctx, f, known); err != nil {
			return err
		}
	}
	return nil
}

// copyOneTrigger writes the copy of a trigger as it is in the registry now.
func (s *Service) copyOneTrigger(ctx context.Context, name faas.TriggerName) error {
	defer s.names.lock("t/" + string(name))()
	t, err := s.o.Triggers.FindTrigger(ctx, name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var copied faas.Trigger
	found, err := s.copies.get(ctx, triggerKey(name), &copied)
	if err != nil || found && !t.UpdatedAt.After(copied.UpdatedAt) {
		return err
	}
	if err := s.copyTrigger(ctx, t); err != nil {
		return err
	}
	if _, err = s.o.Triggers.FindTrigger(ctx, name); isNotFound(err) { // deleted in between
		return s.copies.delete(ctx, triggerKey(name))
	}
	return err
}

// copyRevisions writes the copies of revisions that only the registry has.
func (s *Service) copyRevisions(ctx context.Context, f *faas.Function, known *storedFunction) error {
	for n := known.last + 1; n <= f.Latest; n++ {
		if known.revisions[n] != nil {
			continue
		}
		only := n == f.Latest && n == known.last+1
		if err := s.copyOneRevision(ctx, faas.RevisionRef{Function: f.Name, Number: n}, only); err != nil {
			return err
		}
	}
	if f.Live == 0 || known.live.Revision != 0 {
		return nil
	}
	return s.copyLive(ctx, f.Name)
}

func (s *Service) copyLive(ctx context.Context, name faas.FunctionName) error {
	defer s.names.lock("f/" + string(name))()
	f, err := s.o.Functions.FindFunction(ctx, name)
	if isNotFound(err) || err == nil && f.Live == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return s.putLive(ctx, name, f.Live)
}

// copyOneRevision writes the copy of a revision. One that is building without
// a copy never got one: its gateway died, and nobody was told that it is
// registered; if it is the function's only one, that goes, too.
func (s *Service) copyOneRevision(ctx context.Context, ref faas.RevisionRef, only bool) error {
	defer s.names.lock("f/" + string(ref.Function))()
	rev, err := s.o.Revisions.FindRevision(ctx, ref)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, found, err := s.copies.getRevision(ctx, ref); err != nil || found {
		return err
	}
	if rev.State == faas.RevisionBuilding {
		if s.o.Now().Sub(rev.CreatedAt) < unfinishedFor {
			return nil
		}
		if only {
			return s.forgetFunction(ctx, ref)
		}
		rev.State, rev.Detail = faas.RevisionFailed, "the registration was interrupted; send it again"
	}
	if err := s.copies.putRevision(ctx, rev); err != nil {
		return err
	}
	_, err = s.o.Revisions.SaveRevision(ctx, rev)
	if isNotFound(err) { // deleted in between
		return s.copies.deleteRevisions(ctx, ref.Function, ref.Number)
	}
	if faas.KindOf(err) == faas.Conflict {
		return nil
	}
	return err
}

// forgetFunction deletes a function whose first registration was cut off.
func (s *Service) forgetFunction(ctx context.Context, first faas.RevisionRef) error {
	mark := tombstone{DeletedAt: s.o.Now().UTC(), LastRevision: first.Number}
	if err := s.bury(ctx, first.Function, mark); err != nil {
		return err
	}
	return s.finishFunctionDeletion(ctx, first.Function)
}

// resumeBuilds takes up the builds that no gateway that lives is doing, and
// removes the claims of those that are over.
func (s *Service) resumeBuilds(ctx context.Context, all *stored) error {
	for _, f := range all.functions {
		for _, n := range f.numbers {
			if rev := f.revisions[n]; rev.State == faas.RevisionBuilding {
				s.enqueue(rev)
				continue
			}
			if err := s.copies.delete(ctx, f.claims[n]...); err != nil {
				return err
			}
		}
	}
	return nil
}
