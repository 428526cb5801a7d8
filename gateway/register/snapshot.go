package register

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"davit/internal/faas"
	"davit/internal/faas/route"
)

const (
	// readAtOnce is how many registrations are read in parallel.
	readAtOnce = 8
	// mostChanges is how many registrations are read one by one. If more have changed, all are read.
	mostChanges = 1000
)

// reader reads single registrations from the registry.
type reader struct {
	revisions RevisionStore
	functions FunctionStore
	triggers  TriggerStore
}

// entry returns the function with its live revision, or with its latest revision if none is live.
func (r reader) entry(ctx context.Context, name faas.FunctionName) (*entry, error) {
	f, err := r.functions.FindFunction(ctx, name)
	if err != nil {
		return nil, err
	}
	e := &entry{function: f}
	number := f.Live
	if number == 0 {
		number = f.Latest
	}
	rev, err := r.revisions.FindRevision(ctx, faas.RevisionRef{Function: name, Number: number})
	if err != nil && !isNotFound(err) {
		return nil, err
	}
	if f.Live != 0 {
		e.live = rev
	} else {
		e.latest = rev
	}
	return e, nil
}

// snapshot has the registrations that a gateway serves at one version of the registry. It is immutable once it is
// shared.
type snapshot struct {
	version   int64
	table     *route.Table
	functions map[faas.FunctionName]*entry
	live      []*faas.Revision // by name
}

// entry is a function in a snapshot.
type entry struct {
	function *faas.Function
	live     *faas.Revision
	latest   *faas.Revision // set only if no revision is live
}

func emptySnapshot() *snapshot {
	table, _ := route.NewTable(nil) // without triggers there is no conflict
	return &snapshot{table: table, functions: map[faas.FunctionName]*entry{}}
}

func newSnapshot(all *faas.Snapshot) (*snapshot, error) {
	table, err := route.NewTable(all.Triggers)
	if err != nil {
		return nil, err
	}
	s := &snapshot{version: all.Version, table: table, functions: make(map[faas.FunctionName]*entry, len(all.Functions))}
	for _, f := range all.Functions {
		s.functions[f.Name] = &entry{function: f}
	}
	for _, rev := range all.Revisions {
		if e := s.functions[rev.Function]; e != nil && rev.Number == e.function.Live {
			e.live = rev
		}
	}
	s.setLive()
	return s, nil
}

// readLatest reads the latest revision of functions without a live one, up to mostChanges of them, for the reason in
// notLive. It must be called before the snapshot is shared.
func (s *snapshot) readLatest(ctx context.Context, from reader) error {
	names := map[faas.FunctionName]bool{}
	for name, e := range s.functions {
		if e.live == nil && len(names) < mostChanges {
			names[name] = true
		}
	}
	read, err := readAll(ctx, names, from.entry)
	if err != nil {
		return err
	}
	for name, e := range read {
		if e != nil {
			s.functions[name] = e
		}
	}
	s.setLive()
	return nil
}

// setLive sets live from functions.
func (s *snapshot) setLive() {
	s.live = make([]*faas.Revision, 0, len(s.functions))
	for _, e := range s.functions {
		if e.live != nil {
			s.live = append(s.live, e.live)
		}
	}
	slices.SortFunc(s.live, func(a, b *faas.Revision) int { return cmp.Compare(a.Function, b.Function) })
}

func (s *snapshot) find(name faas.FunctionName) (*entry, error) {
	e := s.functions[name]
	if e == nil {
		return nil, faas.Errorf(faas.NotFound, "there is no function %q", name)
	}
	return e, nil
}

// notLive returns the error of a call to a function without a live revision.
func (e *entry) notLive() error {
	name := e.function.Name
	switch {
	case e.latest == nil:
		return faas.Errorf(faas.Unavailable, "function %q has no revision that is ready", name)
	case e.latest.State == faas.RevisionFailed:
		return faas.Errorf(faas.Unavailable, "function %q has no revision that is ready: revision %d failed: %s", name, e.latest.Number, e.latest.Detail)
	}
	return faas.Errorf(faas.Unavailable, "function %q has no revision that is ready: revision %d is being built", name, e.latest.Number)
}

// changedNames are the functions and triggers that changed.
type changedNames struct {
	functions map[faas.FunctionName]bool
	triggers  map[faas.TriggerName]bool
}

func (n *changedNames) add(c *faas.Changes) {
	if n.functions == nil {
		n.functions, n.triggers = map[faas.FunctionName]bool{}, map[faas.TriggerName]bool{}
	}
	for _, name := range c.Functions {
		n.functions[name] = true
	}
	for _, name := range c.Triggers {
		n.triggers[name] = true
	}
}

func (n *changedNames) size() int { return len(n.functions) + len(n.triggers) }

// with reads the changed registrations and returns a snapshot that contains them. The error is Conflict if two triggers
// have the same path, because some of them were read at a later version.
func (s *snapshot) with(ctx context.Context, from reader, changed *changedNames, version int64) (*snapshot, error) {
	functions, err := readAll(ctx, changed.functions, from.entry)
	if err != nil {
		return nil, err
	}
	triggers, err := readAll(ctx, changed.triggers, from.triggers.FindTrigger)
	if err != nil {
		return nil, err
	}
	next := &snapshot{version: version, table: s.table, functions: s.functions, live: s.live}
	if next.table, err = changedTable(s.table, triggers); err != nil {
		return nil, err
	}
	if len(functions) > 0 {
		next.functions = maps.Clone(s.functions)
		for name, e := range functions {
			if e == nil {
				delete(next.functions, name)
			} else {
				next.functions[name] = e
			}
		}
		next.setLive()
	}
	return next, nil
}

// changedTable returns the table with these triggers; nil removes a trigger.
func changedTable(t *route.Table, triggers map[faas.TriggerName]*faas.Trigger) (*route.Table, error) {
	var set []*faas.Trigger
	var remove []faas.TriggerName
	for name, trigger := range triggers {
		if trigger == nil {
			remove = append(remove, name)
		} else {
			set = append(set, trigger)
		}
	}
	return t.With(set, remove)
}

// readAll calls read for each name, several at a time. A name that is not found is nil in the result.
func readAll[N ~string, T any](ctx context.Context, names map[N]bool, read func(context.Context, N) (*T, error)) (map[N]*T, error) {
	keys := slices.Collect(maps.Keys(names))
	found := make([]*T, len(keys))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i, name := range keys {
		g.Go(func() error {
			one, err := read(ctx, name)
			if err != nil && !isNotFound(err) {
				return err
			}
			if err == nil {
				found[i] = one
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make(map[N]*T, len(keys))
	for i, name := range keys {
		out[name] = found[i]
	}
	return out, nil
}
