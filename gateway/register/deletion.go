package register

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/signal"
)

// deletions deletes functions and triggers. Each deletion writes a tombstone first. If it is interrupted after that, a
// repair or the next registration of the name finishes it.
type deletions struct {
	functions FunctionStore
	triggers  TriggerStore
	objects   objects
	locks     *nameLocks
	repair    signal.Wake // a deletion must be finished later
	log       *slog.Logger
	now       func() time.Time
}

func (d *deletions) deleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) (version int64, err error) {
	defer d.locks.function(name)()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	f, err := d.functions.FindFunction(ctx, name)
	if err != nil {
		return 0, err
	}
	triggers, err := d.triggers.TriggersOf(ctx, name)
	if err != nil {
		return 0, err
	}
	if len(triggers) > 0 && !withTriggers {
		return 0, hasTriggers(name, triggers)
	}
	var before tombstone
	if _, err := d.objects.get(ctx, functionKey(name, deletedObject), &before); err != nil {
		return 0, err
	}
	stone := tombstone{DeletedAt: d.now().UTC(), LastRevision: f.Latest, Triggers: triggers}
	if err := d.writeTombstone(ctx, name, stone); err != nil {
		return 0, err
	}
	version, err = d.functions.DeleteFunction(ctx, name, withTriggers)
	if faas.KindOf(err) == faas.Conflict { // a trigger was registered in between
		return 0, errors.Join(err, d.removeTombstone(ctx, name, before))
	}
	if err != nil && !isNotFound(err) { // NotFound: a repair has finished the deletion
		d.repair.Set()
		return 0, err
	}
	if err := d.deleteObjects(ctx, name, stone); err != nil {
		d.log.Warn("the objects of a deleted function are deleted later", "function", string(name), "error", err)
		d.repair.Set()
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

func (d *deletions) writeTombstone(ctx context.Context, name faas.FunctionName, stone tombstone) error {
	return d.objects.put(ctx, functionKey(name, deletedObject), stone, blob.PutOptions{})
}

// removeTombstone writes back the tombstone of an earlier deletion, or deletes the tombstone if there was none.
func (d *deletions) removeTombstone(ctx context.Context, name faas.FunctionName, before tombstone) error {
	if before.LastRevision > 0 {
		return d.writeTombstone(ctx, name, before)
	}
	return d.objects.delete(ctx, functionKey(name, deletedObject))
}

// deleteObjects deletes the objects of a deleted function and of its triggers, except the tombstones.
func (d *deletions) deleteObjects(ctx context.Context, name faas.FunctionName, stone tombstone) error {
	if err := d.objects.delete(ctx, functionKey(name, liveObject)); err != nil {
		return err
	}
	if err := d.objects.deleteRevisions(ctx, name, stone.LastRevision); err != nil {
		return err
	}
	return d.deleteTriggerObjects(ctx, name, stone)
}

// deleteTriggerObjects deletes the objects of the triggers that were deleted with a function, and then removes the
// triggers from the function's tombstone.
func (d *deletions) deleteTriggerObjects(ctx context.Context, name faas.FunctionName, stone tombstone) error {
	if len(stone.Triggers) == 0 {
		return nil
	}
	for _, t := range stone.Triggers {
		_, err := d.triggers.FindTrigger(ctx, t)
		if err == nil { // registered again
			continue
		}
		if !isNotFound(err) {
			return err
		}
		if err := d.writeTriggerTombstone(ctx, t); err != nil {
			return err
		}
		if err := d.objects.delete(ctx, triggerKey(t)); err != nil {
			return err
		}
	}
	stone.Triggers = nil
	return d.writeTombstone(ctx, name, stone)
}

// finishFunction finishes an interrupted deletion of a function. The caller holds the lock of the name.
func (d *deletions) finishFunction(ctx context.Context, name faas.FunctionName) error {
	var stone tombstone
	if _, err := d.objects.get(ctx, functionKey(name, deletedObject), &stone); err != nil || stone.LastRevision == 0 {
		return err
	}
	f, err := d.functions.FindFunction(ctx, name)
	switch {
	case isNotFound(err):
		return d.deleteObjects(ctx, name, stone)
	case err != nil:
		return err
	case f.Latest > stone.LastRevision: // registered again
		return d.deleteTriggerObjects(ctx, name, stone)
	}
	if err := d.finishTriggersOf(ctx, name); err != nil {
		return err
	}
	_, err = d.functions.DeleteFunction(ctx, name, len(stone.Triggers) > 0)
	if faas.KindOf(err) == faas.Conflict { // a trigger was registered in between
		return d.removeTombstone(ctx, name, tombstone{})
	}
	if err != nil && !isNotFound(err) {
		return err
	}
	return d.deleteObjects(ctx, name, stone)
}

func (d *deletions) finishTriggersOf(ctx context.Context, name faas.FunctionName) error {
	triggers, err := d.triggers.TriggersOf(ctx, name)
	if err != nil {
		return err
	}
	for _, t := range triggers {
		if _, err := d.finishTrigger(ctx, &faas.Trigger{Name: t}); err != nil {
			return err
		}
	}
	return nil
}

func (d *deletions) deleteTrigger(ctx context.Context, name faas.TriggerName) (version int64, err error) {
	defer d.locks.trigger(name)()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	if _, err := d.triggers.FindTrigger(ctx, name); err != nil {
		return 0, err
	}
	if err := d.writeTriggerTombstone(ctx, name); err != nil {
		return 0, err
	}
	version, err = d.triggers.DeleteTrigger(ctx, name)
	if err != nil && !isNotFound(err) { // NotFound: a repair has finished the deletion
		d.repair.Set()
		return 0, err
	}
	if err := d.objects.delete(ctx, triggerKey(name)); err != nil {
		d.log.Warn("the object of a deleted trigger is deleted later", "trigger", string(name), "error", err)
		d.repair.Set()
	}
	return version, nil
}

func (d *deletions) writeTriggerTombstone(ctx context.Context, name faas.TriggerName) error {
	return d.objects.put(ctx, triggerTombstone(name), tombstone{DeletedAt: d.now().UTC()}, blob.PutOptions{})
}

// finishTrigger finishes an interrupted deletion of t. It returns t if t has no tombstone, else nil. The caller holds
// the lock of the trigger, or of its function.
func (d *deletions) finishTrigger(ctx context.Context, t *faas.Trigger) (*faas.Trigger, error) {
	var stone tombstone
	dead, err := d.objects.get(ctx, triggerTombstone(t.Name), &stone)
	if err != nil || !dead {
		return t, err
	}
	if _, err := d.triggers.DeleteTrigger(ctx, t.Name); err != nil && !isNotFound(err) {
		return nil, err
	}
	return nil, d.objects.delete(ctx, triggerKey(t.Name))
}
