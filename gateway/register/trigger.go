package register

import (
	"context"
	"fmt"

	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/faas/route"
	"davit/internal/faas/spec"
)

// PutTrigger creates or replaces a trigger. A function that is not there and
// fields that do not fit it are NotAllowed; a path that another trigger takes is a Conflict.
func (s *Service) PutTrigger(ctx context.Context, name faas.TriggerName, spec faas.TriggerSpec) (t *faas.Trigger, created bool, err error) {
	if spec, err = s.checkedTrigger(ctx, name, spec); err != nil {
		return nil, false, err
	}
	t, created, version, err := s.putTrigger(ctx, name, spec)
	if err != nil {
		return nil, false, away(fmt.Errorf("register trigger %q: %w", name, err))
	}
	s.applied(ctx, version)
	return t, created, nil
}

// checkedTrigger returns the spec with its own defaults when it fits its
// function; what it leaves to the function stays empty, and so follows it.
func (s *Service) checkedTrigger(ctx context.Context, name faas.TriggerName, given faas.TriggerSpec) (faas.TriggerSpec, error) {
	var faults []faas.FieldError
	if why := name.Check(); why != "" {
		faults = append(faults, faas.FieldError{Pointer: "/name", Detail: why})
	}
	function, err := s.specOf(ctx, given.Function)
	switch {
	case isNotFound(err):
		if given.Function.Check() == "" {
			faults = append(faults, faas.FieldError{Pointer: "/function", Detail: fmt.Sprintf("there is no function %q; register it first", given.Function)})
		}
	case err != nil:
		return given, err
	}
	if faults = append(faults, spec.CheckTrigger(given, function)...); len(faults) > 0 {
		return given, Refused("trigger", faults)
	}
	return spec.CompleteTrigger(given, faas.FunctionSpec{}), nil
}

// specOf returns the spec that calls would find: of the live revision, before there is one of the newest.
func (s *Service) specOf(ctx context.Context, name faas.FunctionName) (faas.FunctionSpec, error) {
	if name.Check() != "" {
		return faas.FunctionSpec{}, faas.Errorf(faas.NotFound, "%q is no name of a function", name)
	}
	e, err := readEntry(ctx, reader{s.o.Revisions, s.o.Functions, s.o.Triggers}, name)
	switch {
	case err != nil:
		return faas.FunctionSpec{}, err
	case e.live != nil:
		return e.live.Spec, nil
	case e.latest != nil:
		return e.latest.Spec, nil
	}
	return faas.FunctionSpec{}, nil
}

func (s *Service) putTrigger(ctx context.Context, name faas.TriggerName, spec faas.TriggerSpec) (t *faas.Trigger, created bool, version int64, err error) {
	defer s.names.lock("t/" + string(name))()
	defer s.names.lock("f/" + string(spec.Function))() // it is not deleted meanwhile
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	before, err := s.o.Triggers.FindTrigger(ctx, name)
	if err != nil && !isNotFound(err) {
		return nil, false, 0, err
	}
	if before != nil {
		if before, err = s.finishTriggerDeletion(ctx, before); err != nil {
			return nil, false, 0, err
		}
	}
	now := s.o.Now().UTC()
	t = &faas.Trigger{Name: name, TriggerSpec: spec, CreatedAt: now, UpdatedAt: now}
	if before != nil {
		t.CreatedAt = before.CreatedAt
	}
	slots, err := route.Slots(t)
	if err != nil {
		return nil, false, 0, err
	}
	if err := s.copyTrigger(ctx, t); err != nil {
		return nil, false, 0, err
	}
	created, version, err = s.o.Triggers.SaveTrigger(ctx, t, slots)
	if err != nil {
		s.uncopyTrigger(ctx, name, before)
		return nil, false, 0, err
	}
	return t, created, version, nil
}

// copyTrigger writes a trigger's copy and then takes its tombstone away, so that
// until both are done the trigger is not there.
func (s *Service) copyTrigger(ctx context.Context, t *faas.Trigger) error {
	if err := s.copies.put(ctx, triggerKey(t.Name), t, blob.PutOptions{}); err != nil {
		return err
	}
	return s.copies.delete(ctx, triggerTombstone(t.Name))
}

// uncopyTrigger makes the copy what it was before a change that was refused.
func (s *Service) uncopyTrigger(ctx context.Context, name faas.TriggerName, before *faas.Trigger) {
	var err error
	if before != nil {
		err = s.copies.put(ctx, triggerKey(name), before, blob.PutOptions{})
	} else {
		err = s.copies.delete(ctx, triggerKey(name))
	}
	if err != nil {
		s.o.Log.Warn("the copy of a trigger whose change was refused is to be repaired", "trigger", string(name), "error", err)
	}
}

// DeleteTrigger deletes a trigger.
func (s *Service) DeleteTrigger(ctx context.Context, name faas.TriggerName) error {
	version, err := s.deleteTrigger(ctx, name)
	if err != nil {
		return away(fmt.Errorf("delete trigger %q: %w", name, err))
	}
	s.applied(ctx, version)
	return nil
}

func (s *Service) deleteTrigger(ctx context.Context, name faas.TriggerName) (int64, error) {
	defer s.names.lock("t/" + string(name))()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	if _, err := s.o.Triggers.FindTrigger(ctx, name); err != nil {
		return 0, err
	}
	if err := s.buryTrigger(ctx, name); err != nil {
		return 0, err
	}
	version, err := s.o.Triggers.DeleteTrigger(ctx, name)
	if err != nil && !isNotFound(err) { // a repair may have been as fast
		s.soon.Set()
		return 0, err
	}
	if err := s.copies.delete(ctx, triggerKey(name)); err != nil {
		s.o.Log.Warn("the copy of a trigger that was deleted is removed later", "trigger", string(name), "error", err)
		s.soon.Set()
	}
	return version, nil
}

// buryTrigger writes a trigger's tombstone.
func (s *Service) buryTrigger(ctx context.Context, name faas.TriggerName) error {
	return s.copies.put(ctx, triggerTombstone(name), tombstone{DeletedAt: s.o.Now().UTC()}, blob.PutOptions{})
}

// finishTriggerDeletion ends a deletion that was cut off after its tombstone. It
// returns the trigger if it is still there.
func (s *Service) finishTriggerDeletion(ctx context.Context, t *faas.Trigger) (*faas.Trigger, error) {
	var mark tombstone
	dead, err := s.copies.get(ctx, triggerTombstone(t.Name), &mark)
	if err != nil || !dead {
		return t, err
	}
	if _, err := s.o.Triggers.DeleteTrigger(ctx, t.Name); err != nil && !isNotFound(err) {
		return nil, err
	}
	return nil, s.copies.delete(ctx, triggerKey(t.Name))
}
