package register

import (
	"context"
	"log/slog"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// awaitMost is how long a registration waits for other gateways to serve it.
const awaitMost = 2 * time.Second

// publisher makes revisions live and waits until the gateways serve a change.
type publisher struct {
	revisions RevisionStore
	functions FunctionStore
	versions  VersionStore
	catalog   *Catalog
	objects   objects
	locks     *nameLocks
	log       *slog.Logger
	now       func() time.Time
}

// publish writes a revision that is ready or failed to the registry. If the revision becomes live, publish writes
// live.json first.
func (p *publisher) publish(ctx context.Context, rev *faas.Revision) (version int64, err error) {
	defer p.locks.function(rev.Function)()
	f, err := p.functions.FindFunction(ctx, rev.Function)
	if err != nil {
		return 0, err
	}
	becomesLive := rev.State == faas.RevisionReady && rev.Number > f.Live
	if becomesLive {
		if err := p.putLive(ctx, rev.Function, rev.Number); err != nil {
			return 0, err
		}
	}
	version, err = p.revisions.SaveRevision(ctx, rev)
	switch {
	case faas.KindOf(err) == faas.Conflict:
		return 0, p.copyRevision(ctx, rev.Ref())
	case err != nil || !becomesLive:
		return version, err
	}
	return version, p.copyLive(ctx, rev.Function, rev.Number)
}

// copyRevision writes a revision from the registry to the object store, because another gateway finished the build
// first.
func (p *publisher) copyRevision(ctx context.Context, ref faas.RevisionRef) error {
	rev, err := p.revisions.FindRevision(ctx, ref)
	if err != nil {
		return err
	}
	if err := p.objects.putRevision(ctx, rev); err != nil {
		return err
	}
	f, err := p.functions.FindFunction(ctx, ref.Function)
	if err != nil || f.Live == 0 {
		return err
	}
	return p.putLive(ctx, ref.Function, f.Live)
}

func (p *publisher) putLive(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error {
	return p.objects.put(ctx, functionKey(name, liveObject), live{Revision: number, At: p.now().UTC()}, blob.PutOptions{})
}

// copyLive writes live.json from the registry unless it names the revision wrote. They differ if another gateway made a
// revision live at the same time.
func (p *publisher) copyLive(ctx context.Context, name faas.FunctionName, wrote faas.RevisionNumber) error {
	f, err := p.functions.FindFunction(ctx, name)
	if err != nil || f.Live == wrote || f.Live == 0 {
		return err
	}
	return p.putLive(ctx, name, f.Live)
}

// makeLive makes a ready revision live again.
func (p *publisher) makeLive(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (version int64, err error) {
	defer p.locks.function(name)()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	f, _, err := p.findReady(ctx, name, number)
	if err != nil {
		return 0, err
	}
	if err := p.putLive(ctx, name, number); err != nil {
		return 0, err
	}
	version, err = p.functions.Rollback(ctx, name, number)
	if err != nil {
		_ = p.putLive(ctx, name, f.Live) // if this fails, a repair does it
		return 0, err
	}
	return version, p.copyLive(ctx, name, number)
}

// findReady returns a function and one of its revisions. The error is Conflict if the revision is not ready.
func (p *publisher) findReady(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) (*faas.Function, *faas.Revision, error) {
	f, err := p.functions.FindFunction(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	rev, err := p.revisions.FindRevision(ctx, faas.RevisionRef{Function: name, Number: number})
	if err != nil {
		return nil, nil, err
	}
	if rev.State != faas.RevisionReady {
		return nil, nil, faas.Errorf(faas.Conflict, "revision %d of function %q is %s; only a ready one can be live", number, name, rev.State)
	}
	return f, rev, nil
}

// await waits until this gateway and all others serve a version. A gateway that takes longer than awaitMost is only
// logged, because the registration stands.
func (p *publisher) await(ctx context.Context, version int64) {
	p.catalog.Wake()
	own, cancel := context.WithTimeout(ctx, awaitMost)
	defer cancel()
	err := p.catalog.await(own, version)
	if err == nil {
		err = p.versions.AwaitApplied(ctx, version, awaitMost)
	}
	if err != nil {
		p.log.Warn("a registration is not yet served by every gateway", "version", version, "error", err)
	}
}

// awaitNewest waits like await for the newest version, because another gateway may just have finished a build.
func (p *publisher) awaitNewest(ctx context.Context) {
	changes, err := p.versions.Changes(ctx, p.catalog.Applied())
	if err != nil {
		p.log.Warn("a registration may not yet be served by every gateway", "error", err)
		return
	}
	p.await(ctx, changes.Version)
}
