package register

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/internal/faas"
	"davit/internal/signal"
)

const (
	lookEvery   = 5 * time.Second // for changes nobody told of
	mostTries   = 5               // readings of changes that clash, before everything is read
	mostOlder   = 1024            // revisions that are remembered beside the live ones
	snapshotFor = time.Minute
)

// CatalogOptions are the parts of a Catalog.
type CatalogOptions struct {
	Revisions RevisionStore
	Functions FunctionStore
	Triggers  TriggerStore
	Versions  VersionStore
	Log       *slog.Logger // nil: nothing is logged
}

// Catalog holds in memory what is served. Readers never wait for a change: they
// see what was there before it, or all of it.
type Catalog struct {
	o       CatalogOptions
	read    reader
	wake    signal.Wake // something may have changed
	lost    signal.Wake // the registry lost everything
	applied signal.Broadcast

	now atomic.Pointer[view]

	olderMu sync.RWMutex
	older   map[faas.RevisionRef]*faas.Revision
}

// NewCatalog returns an empty Catalog; Load and Run fill it.
func NewCatalog(o CatalogOptions) *Catalog {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Catalog{
		o: o, read: reader{o.Revisions, o.Functions, o.Triggers}, wake: signal.NewWake(), lost: signal.NewWake(),
		older: map[faas.RevisionRef]*faas.Revision{},
	}
	c.now.Store(emptyView())
	return c
}

// Wake says that registrations have changed, or may have. It never blocks.
func (c *Catalog) Wake() { c.wake.Set() }

// Applied returns the version of the registry that is served.
func (c *Catalog) Applied() int64 { return c.now.Load().version }

// Match finds the trigger for a request, see route.Table.
func (c *Catalog) Match(method, rawPath string) (faas.Match, error) {
	return c.now.Load().table.Match(method, rawPath)
}

// Function returns a function or a NotFound error. It must not be changed.
func (c *Catalog) Function(name faas.FunctionName) (*faas.Function, error) {
	e, err := c.now.Load().find(name)
	if err != nil {
		return nil, err
	}
	return e.function, nil
}

// Live returns the revision that calls go to, which must not be changed:
// NotFound without the function, Unavailable when none is ready.
func (c *Catalog) Live(name faas.FunctionName) (*faas.Revision, error) {
	e, err := c.now.Load().find(name)
	if err != nil {
		return nil, err
	}
	if e.live == nil {
		return nil, e.notLive()
	}
	return e.live, nil
}

// LiveRevisions returns the live revisions of all functions, by name. They must not be changed.
func (c *Catalog) LiveRevisions() []*faas.Revision { return c.now.Load().live }

// UsesSource reports whether a live revision was built from the source with that checksum.
func (c *Catalog) UsesSource(sum string) bool {
	return slices.ContainsFunc(c.LiveRevisions(), func(rev *faas.Revision) bool { return rev.SourceSum == sum })
}

// Revision returns any revision, which must not be changed; one that is not live
// is loaded once and remembered, beyond the deletion of its function.
func (c *Catalog) Revision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error) {
	if e := c.now.Load().functions[ref.Function]; e != nil && e.live != nil && e.live.Number == ref.Number {
		return e.live, nil
	}
	c.olderMu.RLock()
	rev := c.older[ref]
	c.olderMu.RUnlock()
	if rev != nil {
		return rev, nil
	}
	rev, err := c.o.Revisions.FindRevision(ctx, ref)
	if err != nil {
		return nil, err
	}
	if rev.State != faas.RevisionBuilding { // else it still changes
		c.remember(rev)
	}
	return rev, nil
}

func (c *Catalog) remember(rev *faas.Revision) {
	c.olderMu.Lock()
	defer c.olderMu.Unlock()
	if len(c.older) >= mostOlder {
		for ref := range c.older { // any: it can be loaded again
			delete(c.older, ref)
			break
		}
	}
	c.older[rev.Ref()] = rev
}

// Load reads everything once, so that a gateway serves from its first moment on.
func (c *Catalog) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotFor)
	defer cancel()
	all, err := c.o.Versions.Snapshot(ctx)
	if err != nil {
		return err
	}
	v, err := newView(all)
	if err != nil {
		return err
	}
	if err := v.explain(ctx, c.read); err != nil {
		return err
	}
	c.publish(v)
	return nil
}

// Run follows the registry until ctx ends: at once after Wake, else within seconds. It calls beat each second and after
// each change, with the version that is served.
func (c *Catalog) Run(ctx context.Context, beat func(ctx context.Context, applied int64) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { c.runBeat(ctx, beat); return nil })
	g.Go(func() error { c.follow(ctx, beat); return nil })
	return g.Wait()
}

func (c *Catalog) runBeat(ctx context.Context, beat func(context.Context, int64) error) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	state := flank{log: c.o.Log, what: "tell that this gateway lives"}
	for {
		state.note(ctx, beat(ctx, c.Applied()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Catalog) follow(ctx context.Context, beat func(context.Context, int64) error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	state := flank{log: c.o.Log, what: "follow the registrations"}
	for {
		before := c.Applied()
		err := c.catchUp(ctx)
		if errors.Is(err, faas.ErrEmpty) {
			c.lost.Set()
		}
		state.note(ctx, err)
		if c.Applied() != before {
			state.note(ctx, beat(ctx, c.Applied()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.wake.C():
		}
	}
}

// catchUp applies what changed since the view that is served.
func (c *Catalog) catchUp(ctx context.Context) error {
	v := c.now.Load()
	var changed pieces
	since := v.version
	for range mostTries {
		changes, err := c.o.Versions.Changes(ctx, since)
		if err != nil {
			return err
		}
		changed.add(&changes)
		if changes.Full || changed.size() > mostPieces {
			return c.Load(ctx)
		}
		if changes.Version == v.version {
			return nil
		}
		since = changes.Version
		next, err := v.with(ctx, c.read, &changed, changes.Version)
		if err == nil {
			c.publish(next)
			return nil
		}
		// What was read is newer than the version: a path may have moved between two triggers.
		if faas.KindOf(err) != faas.Conflict {
			return err
		}
	}
	return c.Load(ctx)
}

// publish serves v from now on.
func (c *Catalog) publish(v *view) {
	before := c.now.Swap(v)
	for name, e := range before.functions {
		now := v.functions[name]
		if e.live != nil && (now == nil || now.live == nil || now.live.Number != e.live.Number) {
			c.remember(e.live) // calls may be pinned to it
		}
	}
	c.applied.Send()
}

// await returns nil once a version is served here.
func (c *Catalog) await(ctx context.Context, version int64) error {
	for {
		changed := c.applied.C()
		if c.Applied() >= version {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
