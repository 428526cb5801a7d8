package dispatchtest

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"davit/gateway/dispatch"
	"davit/gateway/redisstore"
	"davit/internal/blob"
	"davit/internal/faas"
)

// Catalog is one of one function, whose live revision a test changes.
type Catalog struct {
	mu    sync.Mutex
	live  *faas.Revision
	known map[faas.RevisionRef]*faas.Revision
}

func newCatalog(live *faas.Revision) *Catalog {
	c := &Catalog{known: map[faas.RevisionRef]*faas.Revision{}}
	c.Set(live)
	return c
}

// Set makes a revision live.
func (c *Catalog) Set(live *faas.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = live
	c.known[live.Ref()] = live
}

// Live returns the live revision.
func (c *Catalog) Live(faas.FunctionName) (*faas.Revision, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live, nil
}

// LiveRevisions returns the live revision.
func (c *Catalog) LiveRevisions() []*faas.Revision {
	live, _ := c.Live("")
	return []*faas.Revision{live}
}

// Revision returns a revision that is or was live.
func (c *Catalog) Revision(_ context.Context, ref faas.RevisionRef) (*faas.Revision, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rev := c.known[ref]; rev != nil {
		return rev, nil
	}
	return nil, faas.Errorf(faas.NotFound, "there is no revision %s", ref)
}

// Counts is a meter that a test reads.
type Counts struct{ NAccepted, NSettled, NReleased, NQueued atomic.Int64 }

// Accepted counts.
func (c *Counts) Accepted(*faas.Invocation) { c.NAccepted.Add(1) }

// Adopted does nothing.
func (c *Counts) Adopted() {}

// Settled counts.
func (c *Counts) Settled(*faas.Invocation) { c.NSettled.Add(1) }

// Released counts.
func (c *Counts) Released() { c.NReleased.Add(1) }

// Queued adds up.
func (c *Counts) Queued(delta int) { c.NQueued.Add(int64(delta)) }

// StoreError does nothing.
func (c *Counts) StoreError(string) {}

// ColdStart does nothing.
func (c *Counts) ColdStart(faas.Start) {}

// Refilled does nothing.
func (c *Counts) Refilled(faas.Start, time.Duration) {}

// countedQueue is the durable queue of the real store, counted.
type countedQueue struct {
	*redisstore.Store
	trips *atomic.Int64
}

func (q countedQueue) Enqueue(ctx context.Context, inv *faas.Invocation, until time.Time) error {
	q.trips.Add(1)
	return q.Store.Enqueue(ctx, inv, until)
}

func (q countedQueue) Bind(ctx context.Context, id faas.InvocationID, attempt int, runner faas.RunnerID) error {
	q.trips.Add(1)
	return q.Store.Bind(ctx, id, attempt, runner)
}

type countedPermits struct {
	dispatch.Permits
	trips *atomic.Int64
}

func (p countedPermits) AcquirePermit(ctx context.Context, fn faas.FunctionName, id faas.InvocationID, most, all int, until time.Time) (bool, error) {
	p.trips.Add(1)
	return p.Permits.AcquirePermit(ctx, fn, id, most, all, until)
}

type countedStore struct {
	blob.Store
	trips *atomic.Int64
}

func (s countedStore) Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error) {
	s.trips.Add(1)
	return s.Store.Put(ctx, key, r, size, o)
}

func (s countedStore) Get(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, blob.Info, error) {
	s.trips.Add(1)
	return s.Store.Get(ctx, key, offset, length)
}

func (s countedStore) Stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	s.trips.Add(1)
	return s.Store.Stat(ctx, key)
}
