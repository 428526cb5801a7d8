package register

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// lookAgain is how often a build on another gateway is asked for.
const lookAgain = 250 * time.Millisecond

// WaitReady returns the revision once it is ready or has failed, and after that
// long in any state. A revision that is ready is served here, and was by every
// gateway that answered in time.
func (s *Service) WaitReady(ctx context.Context, ref faas.RevisionRef, most time.Duration) (*faas.Revision, error) {
	wait, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if b := s.findBuild(ref); b != nil {
		select {
		case <-b.done:
		case <-wait.Done():
		}
	}
	for {
		rev, err := s.o.Revisions.FindRevision(ctx, ref)
		if err != nil {
			return nil, err
		}
		if rev.State != faas.RevisionBuilding {
			s.served(ctx)
			return rev, nil
		}
		if wait.Err() != nil {
			return rev, nil
		}
		select {
		case <-time.After(lookAgain):
		case <-wait.Done():
		}
	}
}

// FunctionOf returns the function with that name, or else the function whose live revision was registered from that image; of
// several, the function whose revision became ready last. The error is NotFound if there is none.
func (s *Service) FunctionOf(ctx context.Context, nameOrImage string) (faas.FunctionName, error) {
	name := faas.FunctionName(nameOrImage)
	if name.Check() == "" {
		_, err := s.o.Functions.FindFunction(ctx, name)
		if err == nil {
			return name, nil
		}
		if !isNotFound(err) {
			return "", err
		}
	}
	var found *faas.Revision
	for _, rev := range s.o.Catalog.LiveRevisions() {
		if nameOrImage == "" || rev.Spec.Image != nameOrImage || rev.ReadyAt == nil {
			continue
		}
		if found == nil || rev.ReadyAt.After(*found.ReadyAt) {
			found = rev
		}
	}
	if found == nil {
		return "", faas.Errorf(faas.NotFound, "there is no function %q, and none from such an image; register it first", faas.Clip(nameOrImage))
	}
	return found.Function, nil
}

// DeleteFunction deletes a function with its revisions and stored sources:
// Conflict while it has triggers, unless withTriggers, which deletes them too.
func (s *Service) DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) error {
	version, err := s.deleteFunction(ctx, name, withTriggers)
	if err != nil {
		return away(fmt.Errorf("delete function %q: %w", name, err))
	}
	s.applied(ctx, version)
	return nil
}

func (s *Service) deleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) (int64, error) {
	defer s.names.lock("f/" + string(name))()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	f, err := s.o.Functions.FindFunction(ctx, name)
	if err != nil {
		return 0, err
	}
	triggers, err := s.o.Triggers.TriggersOf(ctx, name)
	if err != nil {
		return 0, err
	}
	if len(triggers) > 0 && !withTriggers {
		return 0, hasTriggers(name, triggers)
	}
	var before tombstone
	if _, err := s.copies.get(ctx, functionKey(name, deletedObject), &before); err != nil {
		return 0, err
	}
	mark := tombstone{DeletedAt: s.o.Now().UTC(), LastRevision: f.Latest, Triggers: triggers}
	if err := s.bury(ctx, name, mark); err != nil {
		return 0, err
	}
	version, err := s.o.Functions.DeleteFunction(ctx, name, withTriggers)
	if faas.KindOf(err) == faas.Conflict { // a trigger came in between
		return 0, errors.Join(err, s.unbury(ctx, name, before))
	}
	if err != nil && !isNotFound(err) { // a repair may have been as fast
		s.soon.Set()
		return 0, err
	}
	if err := s.removeCopies(ctx, name, mark); err != nil {
		s.o.Log.Warn("the copies of a function that was deleted are removed later", "function", string(name), "error", err)
		s.soon.Set()
	}
	return version, nil
}

func hasTriggers(name faas.FunctionName, triggers []faas.TriggerName) error {
	names := make([]string, len(triggers))
	for i, t := range triggers {
		names[i] = string(t)
	}
	return faas.Errorf(faas.Conflict, "function %q has triggers: %s; delete them first, or with it", name, strings.Join(names, ", "))
}

// bury writes a function's tombstone.
func (s *Service) bury(ctx context.Context, name faas.FunctionName, mark tombstone) error {
	return s.copies.put(ctx, functionKey(name, deletedObject), mark, blob.PutOptions{})
}

// unbury makes a function's tombstone what it was before.
func (s *Service) unbury(ctx context.Context, name faas.FunctionName, before tombstone) error {
	if before.LastRevision > 0 {
		return s.bury(ctx, name, before)
	}
	return s.copies.delete(ctx, functionKey(name, deletedObject))
}

// removeCopies removes what a deletion leaves in the store, but the tombstones.
func (s *Service) removeCopies(ctx context.Context, name faas.FunctionName, mark tombstone) error {
	if err := s.copies.delete(ctx, functionKey(name, liveObject)); err != nil {
		return err
	}
	if err := s.copies.deleteRevisions(ctx, name, mark.LastRevision); err != nil {
		return err
	}
	return s.removeTriggers(ctx, name, mark)
}

// removeTriggers removes the copies of the triggers that were deleted with a
// function, and notes that it did.
func (s *Service) removeTriggers(ctx context.Context, name faas.FunctionName, mark tombstone) error {
	if len(mark.Triggers) == 0 {
		return nil
	}
	for _, t := range mark.Triggers {
		_, err := s.o.Triggers.FindTrigger(ctx, t)
		if err == nil { // registered anew
			continue
		}
		if !isNotFound(err) {
			return err
		}
		if err := s.buryTrigger(ctx, t); err != nil {
			return err
		}
		if err := s.copies.delete(ctx, triggerKey(t)); err != nil {
			return err
		}
	}
	mark.Triggers = nil
	return s.bury(ctx, name, mark)
}

// finishFunctionDeletion ends a deletion that was cut off after its tombstone.
func (s *Service) finishFunctionDeletion(ctx context.Context, name faas.FunctionName) error {
	var mark tombstone
	if _, err := s.copies.get(ctx, functionKey(name, deletedObject), &mark); err != nil || mark.LastRevision == 0 {
		return err
	}
	f, err := s.o.Functions.FindFunction(ctx, name)
	switch {
	case isNotFound(err):
		return s.removeCopies(ctx, name, mark)
	case err != nil:
		return err
	case f.Latest > mark.LastRevision: // registered anew
		return s.removeTriggers(ctx, name, mark)
	}
	if err := s.finishTriggersOf(ctx, name); err != nil {
		return err
	}
	_, err = s.o.Functions.DeleteFunction(ctx, name, len(mark.Triggers) > 0)
	if faas.KindOf(err) == faas.Conflict { // a trigger came in between
		return s.unbury(ctx, name, tombstone{})
	}
	if err != nil && !isNotFound(err) {
		return err
	}
	return s.removeCopies(ctx, name, mark)
}

// finishTriggersOf ends the deletions of a function's triggers.
func (s *Service) finishTriggersOf(ctx context.Context, name faas.FunctionName) error {
	triggers, err := s.o.Triggers.TriggersOf(ctx, name)
	if err != nil {
		return err
	}
	for _, t := range triggers {
		if _, err := s.finishTriggerDeletion(ctx, &faas.Trigger{Name: t}); err != nil {
			return err
		}
	}
	return nil
}
