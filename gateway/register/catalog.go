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

	"davit/internal/every"
	"davit/internal/faas"
	"davit/internal/signal"
)

const (
	beatEvery       = time.Second
	followEvery     = 5 * time.Second // in case the message of a change was lost
	mostConflicts   = 5               // conflicting reads of changes before everything is read
	mostOlder       = 1024            // revisions that are cached besides the live ones
	snapshotTimeout = time.Minute
)

// CatalogOptions are the parts of a Catalog.
type CatalogOptions struct {
	Revisions RevisionStore
	Functions FunctionStore
	Triggers  TriggerStore
	Versions  VersionStore
	Log       *slog.Logger // nil: nothing is logged
}

// Catalog keeps in memory the registrations that this gateway serves. Readers never wait for a change, and never see a
// part of a change.
type Catalog struct {
	o       CatalogOptions
	reader  reader
	wake    signal.Wake      // the registry may have changed
	lost    signal.Wake      // the registry lost its contents
	applied signal.Broadcast // a new snapshot is served

	now atomic.Pointer[snapshot]

	olderMu sync.RWMutex
	older   map[faas.RevisionRef]*faas.Revision
}

// NewCatalog returns an empty Catalog. Load and Run fill it.
func NewCatalog(o CatalogOptions) *Catalog {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Catalog{
		o: o, reader: reader{o.Revisions, o.Functions, o.Triggers}, wake: signal.NewWake(), lost: signal.NewWake(),
		older: map[faas.RevisionRef]*faas.Revision{},
	}
	c.now.Store(emptySnapshot())
	return c
}

// Wake makes Run read the registry now. It never blocks.
func (c *Catalog) Wake() { c.wake.Set() }

// Applied returns the version of the registry that is served.
func (c *Catalog) Applied() int64 { return c.now.Load().version }

// Match returns the trigger for a request, see route.Table.
func (c *Catalog) Match(method, rawPath string) (faas.Match, error) {
	return c.now.Load().table.Match(method, rawPath)
}

// Function returns a function, which the caller must not change, or a NotFound error.
func (c *Catalog) Function(name faas.FunctionName) (*faas.Function, error) {
	e, err := c.now.Load().find(name)
	if err != nil {
		return nil, err
	}
	return e.function, nil
}

// Live returns the live revision of a function, which the caller must not change. The error is NotFound if the function
// does not exist, Unavailable if it has no live revision.
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

// LiveRevisions returns the live revisions of all functions, sorted by name. The caller must not change them.
func (c *Catalog) LiveRevisions() []*faas.Revision { return c.now.Load().live }

// UsesSource reports whether a live revision was built from the source with that checksum.
func (c *Catalog) UsesSource(sum string) bool {
	return slices.ContainsFunc(c.LiveRevisions(), func(rev *faas.Revision) bool { return rev.SourceSum == sum })
}

// Revision returns any revision, which the caller must not change. A revision that is not live is read from the
// registry and then cached, so that it can be returned after the function is deleted.
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
	if rev.State != faas.RevisionBuilding { // a revision in state building still changes
		c.cache(rev)
	}
	return rev, nil
}

func (c *Catalog) cache(rev *faas.Revision) {
	c.olderMu.Lock()
	defer c.olderMu.Unlock()
	if len(c.older) >= mostOlder {
		for ref := range c.older { // any, because it can be read again
			delete(c.older, ref)
			break
		}
	}
	c.older[rev.Ref()] = rev
}

// Load reads all registrations once, so that a gateway serves them from its start.
func (c *Catalog) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	all, err := c.o.Versions.Snapshot(ctx)
	if err != nil {
		return err
	}
	s, err := newSnapshot(all)
	if err != nil {
		return err
	}
	if err := s.readLatest(ctx, c.reader); err != nil {
		return err
	}
	c.serve(s)
	return nil
}

// Run reads the changes of the registry until ctx ends: at once after Wake, and every 5 s. It calls beat each second,
// and after each change, with the version that is served. Run returns nil.
func (c *Catalog) Run(ctx context.Context, beat func(ctx context.Context, applied int64) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { c.runBeat(ctx, beat); return nil })
	g.Go(func() error { c.follow(ctx, beat); return nil })
	return g.Wait()
}

func (c *Catalog) runBeat(ctx context.Context, beat func(context.Context, int64) error) {
	edge := edgeLog{log: c.o.Log, what: "write the heartbeat of this gateway"}
	every.NowAndInterval(ctx, beatEvery, func(ctx context.Context) { edge.record(ctx, beat(ctx, c.Applied())) })
}

func (c *Catalog) follow(ctx context.Context, beat func(context.Context, int64) error) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	edge := edgeLog{log: c.o.Log, what: "follow the registrations"}
	for {
		before := c.Applied()
		err := c.catchUp(ctx)
		if errors.Is(err, faas.ErrEmpty) {
			c.lost.Set()
		}
		edge.record(ctx, err)
		if c.Applied() != before {
			edge.record(ctx, beat(ctx, c.Applied()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.wake.C():
		}
	}
}

// catchUp reads and serves what changed after the served version.
func (c *Catalog) catchUp(ctx context.Context) error {
	now := c.now.Load()
	var changed changedNames
	since := now.version
	for range mostConflicts {
		changes, err := c.o.Versions.Changes(ctx, since)
		if err != nil {
			return err
		}
		changed.add(&changes)
		if changes.Full || changed.size() > mostChanges {
			return c.Load(ctx)
		}
		if changes.Version == now.version {
			return nil
		}
		since = changes.Version
		next, err := now.with(ctx, c.reader, &changed, changes.Version)
		if err == nil {
			c.serve(next)
			return nil
		}
		// A conflict means that some triggers were read at a later version: a path may have moved from one to another.
		if faas.KindOf(err) != faas.Conflict {
			return err
		}
	}
	return c.Load(ctx)
}

// serve makes s the snapshot that readers see.
func (c *Catalog) serve(s *snapshot) {
	before := c.now.Swap(s)
	for name, e := range before.functions {
		now := s.functions[name]
		if e.live != nil && (now == nil || now.live == nil || now.live.Number != e.live.Number) {
			c.cache(e.live) // running calls may still need it
		}
	}
	c.applied.Send()
}

// await returns nil once this gateway serves the version.
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
