package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"davit/internal/faas"
	"davit/internal/signal"
)

const (
	repairEvery = 10 * time.Minute
	repairAgain = 5 * time.Second // after an error
	// unfinishedFor is how long a registration may take from its number to its objects. An older one was interrupted.
	unfinishedFor = 5 * writeMost
)

// repairer makes the object store and the registry agree, and finishes the changes and builds that killed gateways left
// unfinished.
type repairer struct {
	revisions RevisionStore
	functions FunctionStore
	triggers  TriggerStore
	versions  VersionStore
	catalog   *Catalog
	objects   objects
	locks     *nameLocks
	publisher *publisher
	deletions *deletions
	builds    *builds
	wake      signal.Wake // repair now
	log       *slog.Logger
	now       func() time.Time
}

// restore fills an empty registry from the object store.
func (r *repairer) restore(ctx context.Context) error {
	_, err := r.versions.Snapshot(ctx)
	if !errors.Is(err, faas.ErrEmpty) {
		return err
	}
	m, err := r.objects.readManifest(ctx)
	if err != nil {
		return readable(fmt.Errorf("restore registrations: %w", err))
	}
	all := m.snapshot()
	if err := r.versions.Restore(ctx, all); err != nil {
		return err
	}
	if len(all.Functions)+len(all.Triggers) > 0 {
		r.log.Warn("the registry was empty: registrations are restored from the store", "functions", len(all.Functions), "triggers", len(all.Triggers))
	}
	r.catalog.Wake()
	return nil
}

// run repairs at the start, at once when the registry lost its contents or wake is set, and every repairEvery.
func (r *repairer) run(ctx context.Context) {
	edge := edgeLog{log: r.log, what: "compare the registry with the store"}
	for {
		err := r.restore(ctx)
		if err == nil {
			err = r.repair(ctx)
		}
		edge.record(ctx, err)
		pause := repairEvery
		if err != nil {
			pause = repairAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-r.catalog.lost.C():
		case <-r.wake.C():
		case <-time.After(pause):
		}
	}
}

// repair copies registrations that only the store or only the registry has to the other, finishes interrupted deletions
// and starts interrupted builds. Several gateways may repair at the same time, while registrations change.
func (r *repairer) repair(ctx context.Context) error {
	m, err := r.objects.readManifest(ctx)
	if err != nil {
		return err
	}
	if err := r.finishDeletions(ctx, m); err != nil {
		return err
	}
	if err := r.versions.Restore(ctx, m.snapshot()); err != nil {
		return err
	}
	// Restore may have restored registrations that were deleted after the store was read.
	if err := r.finishNewDeletions(ctx); err != nil {
		return err
	}
	if err := r.copyMissing(ctx, m); err != nil {
		return err
	}
	if err := r.resumeBuilds(ctx, m); err != nil {
		return err
	}
	r.log.Debug("registry and store agree", "functions", len(m.functions), "triggers", len(m.triggers))
	return nil
}

// finishDeletions finishes the deletions of all functions and triggers with a tombstone.
func (r *repairer) finishDeletions(ctx context.Context, m *manifest) error {
	for name := range m.deleted {
		if err := r.finishTrigger(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range m.leftovers {
		if err := r.deleteLeftover(ctx, name); err != nil {
			return err
		}
	}
	for name, f := range m.functions {
		if f.last == 0 {
			continue
		}
		if err := r.finishFunction(ctx, name, f); err != nil {
			return err
		}
	}
	return nil
}

func (r *repairer) finishFunction(ctx context.Context, name faas.FunctionName, f *functionManifest) error {
	defer r.locks.function(name)()
	if err := r.deletions.finishFunction(ctx, name); err != nil {
		return err
	}
	if f.lowest == 0 || f.lowest > f.last {
		return nil
	}
	return r.objects.deleteRevisions(ctx, name, f.last)
}

func (r *repairer) finishTrigger(ctx context.Context, name faas.TriggerName) error {
	defer r.locks.trigger(name)()
	t, err := r.triggers.FindTrigger(ctx, name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = r.deletions.finishTrigger(ctx, t)
	return err
}

// deleteLeftover deletes the object of a trigger with an old tombstone. A young one stays, because the trigger may be
// about to be registered again.
func (r *repairer) deleteLeftover(ctx context.Context, name faas.TriggerName) error {
	defer r.locks.trigger(name)()
	var stone tombstone
	dead, err := r.objects.get(ctx, triggerTombstone(name), &stone)
	if err != nil || !dead || r.now().Sub(stone.DeletedAt) < unfinishedFor {
		return err
	}
	return r.objects.delete(ctx, triggerKey(name))
}

func (r *repairer) finishNewDeletions(ctx context.Context) error {
	functions, triggers, err := r.objects.tombstones(ctx)
	if err != nil {
		return err
	}
	for _, name := range triggers {
		if err := r.finishTrigger(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range functions {
		if err := r.finishFunction(ctx, name, &functionManifest{}); err != nil {
			return err
		}
	}
	return nil
}

// copyMissing writes the objects of registrations that only the registry has.
func (r *repairer) copyMissing(ctx context.Context, m *manifest) error {
	now, err := r.versions.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, t := range now.Triggers {
		if stored := m.triggers[t.Name]; stored != nil && !t.UpdatedAt.After(stored.UpdatedAt) {
			continue
		}
		if err := r.copyTrigger(ctx, t.Name); err != nil {
			return err
		}
	}
	for _, f := range now.Functions {
		stored := m.functions[f.Name]
		if stored == nil {
			stored = &functionManifest{}
		}
		if err := r.copyRevisions(ctx, f, stored); err != nil {
			return err
		}
	}
	return nil
}

// copyTrigger writes the object of a trigger as the registry has it now, unless the object is as new.
func (r *repairer) copyTrigger(ctx context.Context, name faas.TriggerName) error {
	defer r.locks.trigger(name)()
	t, err := r.triggers.FindTrigger(ctx, name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var stored faas.Trigger
	found, err := r.objects.get(ctx, triggerKey(name), &stored)
	if err != nil || found && !t.UpdatedAt.After(stored.UpdatedAt) {
		return err
	}
	if err := r.objects.putTrigger(ctx, t); err != nil {
		return err
	}
	if _, err = r.triggers.FindTrigger(ctx, name); isNotFound(err) { // deleted in between
		return r.objects.delete(ctx, triggerKey(name))
	}
	return err
}

// copyRevisions writes the objects of revisions that only the registry has, and live.json if it is missing.
func (r *repairer) copyRevisions(ctx context.Context, f *faas.Function, stored *functionManifest) error {
	for n := stored.last + 1; n <= f.Latest; n++ {
		if stored.revisions[n] != nil {
			continue
		}
		only := n == f.Latest && n == stored.last+1
		if err := r.copyRevision(ctx, faas.RevisionRef{Function: f.Name, Number: n}, only); err != nil {
			return err
		}
	}
	if f.Live == 0 || stored.live.Revision != 0 {
		return nil
	}
	return r.copyLive(ctx, f.Name)
}

func (r *repairer) copyLive(ctx context.Context, name faas.FunctionName) error {
	defer r.locks.function(name)()
	f, err := r.functions.FindFunction(ctx, name)
	if isNotFound(err) || err == nil && f.Live == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return r.publisher.putLive(ctx, name, f.Live)
}

// copyRevision writes the object of a revision. A revision in state building without an object was interrupted before
// its registration was answered: it fails, or, if it is the only revision, its function is deleted.
func (r *repairer) copyRevision(ctx context.Context, ref faas.RevisionRef, only bool) error {
	defer r.locks.function(ref.Function)()
	rev, err := r.revisions.FindRevision(ctx, ref)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, found, err := r.objects.getRevision(ctx, ref); err != nil || found {
		return err
	}
	if rev.State == faas.RevisionBuilding {
		if r.now().Sub(rev.CreatedAt) < unfinishedFor {
			return nil
		}
		if only {
			return r.deleteFirst(ctx, ref)
		}
		rev.State, rev.Detail = faas.RevisionFailed, "the registration was interrupted; send it again"
	}
	if err := r.objects.putRevision(ctx, rev); err != nil {
		return err
	}
	_, err = r.revisions.SaveRevision(ctx, rev)
	if isNotFound(err) { // deleted in between
		return r.objects.deleteRevisions(ctx, ref.Function, ref.Number)
	}
	if faas.KindOf(err) == faas.Conflict {
		return nil
	}
	return err
}

// deleteFirst deletes a function whose first registration was interrupted.
func (r *repairer) deleteFirst(ctx context.Context, first faas.RevisionRef) error {
	stone := tombstone{DeletedAt: r.now().UTC(), LastRevision: first.Number}
	if err := r.deletions.writeTombstone(ctx, first.Function, stone); err != nil {
		return err
	}
	return r.deletions.finishFunction(ctx, first.Function)
}

// resumeBuilds builds every revision in state building that no other gateway builds, and deletes the claims of finished
// builds.
func (r *repairer) resumeBuilds(ctx context.Context, m *manifest) error {
	for _, f := range m.functions {
		for _, n := range f.numbers {
			if rev := f.revisions[n]; rev.State == faas.RevisionBuilding {
				r.builds.enqueue(rev)
				continue
			}
			if err := r.objects.delete(ctx, f.claims[n]...); err != nil {
				return err
			}
		}
	}
	return nil
}
