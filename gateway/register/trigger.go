package register

import (
	"context"
	"fmt"

	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/faas/route"
	"davit/internal/faas/spec"
)

// PutTrigger creates or replaces a trigger. The error is NotAllowed if the function does not exist or fields do not fit
// it, and Conflict if another trigger has the path.
func (s *Service) PutTrigger(ctx context.Context, name faas.TriggerName, spec faas.TriggerSpec) (t *faas.Trigger, created bool, err error) {
	if spec, err = s.checkedTrigger(ctx, name, spec); err != nil {
		return nil, false, err
	}
	t, created, version, err := s.putTrigger(ctx, name, spec)
	if err != nil {
		return nil, false, readable(fmt.Errorf("register trigger %q: %w", name, err))
	}
	s.publisher.await(ctx, version)
	return t, created, nil
}

// checkedTrigger returns the spec with its defaults, or the error for name and spec. Fields that default to the
// function's stay empty, so that they follow the function.
func (s *Service) checkedTrigger(ctx context.Context, name faas.TriggerName, given faas.TriggerSpec) (faas.TriggerSpec, error) {
	var fields []faas.FieldError
	if why := name.Check(); why != "" {
		fields = append(fields, faas.FieldError{Pointer: "/name", Detail: why})
	}
	function, err := s.specOf(ctx, given.Function)
	switch {
	case isNotFound(err):
		if given.Function.Check() == "" {
			fields = append(fields, faas.FieldError{Pointer: "/function", Detail: fmt.Sprintf("there is no function %q; register it first", given.Function)})
		}
	case err != nil:
		return given, err
	}
	if fields = append(fields, spec.CheckTrigger(given, function)...); len(fields) > 0 {
		return given, Refused("trigger", fields)
	}
	return spec.CompleteTrigger(given, faas.FunctionSpec{}), nil
}

// specOf returns the spec of the function's live revision, or of its latest one if none is live.
func (s *Service) specOf(ctx context.Context, name faas.FunctionName) (faas.FunctionSpec, error) {
	if name.Check() != "" {
		return faas.FunctionSpec{}, faas.Errorf(faas.NotFound, "%q is not a function's name", name)
	}
	e, err := s.reader.entry(ctx, name)
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
	defer s.locks.trigger(name)()
	defer s.locks.function(spec.Function)() // keeps the function from being deleted
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	before, err := s.o.Triggers.FindTrigger(ctx, name)
	if err != nil && !isNotFound(err) {
		return nil, false, 0, err
	}
	if before != nil {
		if before, err = s.deletions.finishTrigger(ctx, before); err != nil {
			return nil, false, 0, err
		}
	}
	now := s.o.Now().UTC()
	t = &faas.Trigger{Name: name, TriggerSpec: spec, CreatedAt: now, UpdatedAt: now}
	if before != nil {
		t.CreatedAt = before.CreatedAt
	}
	endpoints, err := route.Endpoints(t)
	if err != nil {
		return nil, false, 0, err
	}
	if err := s.objects.putTrigger(ctx, t); err != nil {
		return nil, false, 0, err
	}
	created, version, err = s.o.Triggers.SaveTrigger(ctx, t, endpoints)
	if err != nil {
		s.undoTrigger(ctx, name, before)
		return nil, false, 0, err
	}
	return t, created, version, nil
}

// undoTrigger restores the trigger's object after a change that the registry refused. before is nil if there was none.
func (s *Service) undoTrigger(ctx context.Context, name faas.TriggerName, before *faas.Trigger) {
	var err error
	if before != nil {
		err = s.objects.put(ctx, triggerKey(name), before, blob.PutOptions{})
	} else {
		err = s.objects.delete(ctx, triggerKey(name))
	}
	if err != nil {
		s.o.Log.Warn("restoring the object of a trigger after a refused change failed", "trigger", string(name), "error", err)
	}
}

// DeleteTrigger deletes a trigger or returns a NotFound error.
func (s *Service) DeleteTrigger(ctx context.Context, name faas.TriggerName) error {
	version, err := s.deletions.deleteTrigger(ctx, name)
	if err != nil {
		return readable(fmt.Errorf("delete trigger %q: %w", name, err))
	}
	s.publisher.await(ctx, version)
	return nil
}
