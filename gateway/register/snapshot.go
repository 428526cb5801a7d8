package register

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/internal/faas"
	"davit/internal/faas/route"
)

const (
	beatEvery  = time.Second
	mostPieces = 1000 // changes that are read one by one; beyond, everything is
)

// reader reads registrations one by one.
type reader struct {
	revisions RevisionStore
	functions FunctionStore
	triggers  TriggerStore
}

// view is what is served at one version. It never changes.
type view struct {
	version   int64
	table     *route.Table
	functions map[faas.FunctionName]*entry
	live      []*faas.Revision // by name
}

// entry is one function as it is served.
type entry struct {
	function *faas.Function
	live     *faas.Revision
	latest   *faas.Revision // only where none is live
}

func emptyView() *view {
	table, _ := route.NewTable(nil) // of nothing: nothing clashes
	return &view{table: table, functions: map[faas.FunctionName]*entry{}}
}

// newView makes a view of everything.
func newView(all *faas.Snapshot) (*view, error) {
	table, err := route.NewTable(all.Triggers)
	if err != nil {
		return nil, err
	}
	v := &view{version: all.Version, table: table, functions: make(map[faas.FunctionName]*entry, len(all.Functions))}
	for _, f := range all.Functions {
		v.functions[f.Name] = &entry{function: f}
	}
	for _, rev := range all.Revisions {
		if e := v.functions[rev.Function]; e != nil && rev.Number == e.function.Live {
			e.live = rev
		}
	}
	v.list()
	return v, nil
}

// explain reads why functions are not live, for so many of them.
func (v *view) explain(ctx context.Context, from reader) error {
	names := map[faas.FunctionName]bool{}
	for name, e := range v.functions {
		if e.live == nil && len(names) < mostPieces {
			names[name] = true
		}
	}
	read, err := readAll(ctx, names, func(ctx context.Context, name faas.FunctionName) (*entry, error) {
		return readEntry(ctx, from, name)
	})
	if err != nil {
		return err
	}
	for name, e := range read {
		if e != nil {
			v.functions[name] = e
		}
	}
	v.list()
	return nil
}

// list fills in v.live.
func (v *view) list() {
	v.live = make([]*faas.Revision, 0, len(v.functions))
	for _, e := range v.functions {
		if e.live != nil {
			v.live = append(v.live, e.live)
		}
	}
	slices.SortFunc(v.live, func(a, b *faas.Revision) int { return cmp.Compare(a.Function, b.Function) })
}

func (v *view) find(name faas.FunctionName) (*entry, error) {
	e := v.functions[name]
	if e == nil {
		return nil, faas.Errorf(faas.NotFound, "there is no function %q", name)
	}
	return e, nil
}

// notLive says why a function takes no calls.
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

// pieces are the names of what changed.
type pieces struct {
	functions map[faas.FunctionName]bool
	triggers  map[faas.TriggerName]bool
}

func (p *pieces) add(c *faas.Changes) {
	if p.functions == nil {
		p.functions, p.triggers = map[faas.FunctionName]bool{}, map[faas.TriggerName]bool{}
	}
	for _, n := range c.Functions {
		p.functions[n] = true
	}
	for _, n := range c.Triggers {
		p.triggers[n] = true
	}
}

func (p *pieces) size() int { return len(p.functions) + len(p.triggers) }

const readAtOnce = 8

// with returns a view in which the pieces are read anew; Conflict when they do
// not fit together, since some are newer than version.
func (v *view) with(ctx context.Context, from reader, p *pieces, version int64) (*view, error) {
	functions, err := readAll(ctx, p.functions, func(ctx context.Context, name faas.FunctionName) (*entry, error) {
		return readEntry(ctx, from, name)
	})
	if err != nil {
		return nil, err
	}
	triggers, err := readAll(ctx, p.triggers, from.triggers.FindTrigger)
	if err != nil {
		return nil, err
	}
	next := &view{version: version, table: v.table, functions: v.functions, live: v.live}
	if next.table, err = changedTable(v.table, triggers); err != nil {
		return nil, err
	}
	if len(functions) > 0 {
		next.functions = maps.Clone(v.functions)
		for name, e := range functions {
			if e == nil {
				delete(next.functions, name)
			} else {
				next.functions[name] = e
			}
		}
		next.list()
	}
	return next, nil
}

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

// readAll reads things by name, several at once; what is not found is nil.
func readAll[N ~string, T any](ctx context.Context, names map[N]bool, read func(context.Context, N) (*T, error)) (map[N]*T, error) {
	keys := slices.Collect(maps.Keys(names))
	found := make([]*T, len(keys))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i, name := range keys {
		g.Go(func() error {
			thing, err := read(ctx, name)
			if err != nil && !isNotFound(err) {
				return err
			}
			if err == nil {
				found[i] = thing
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

func readEntry(ctx context.Context, from reader, name faas.FunctionName) (*entry, error) {
	f, err := from.functions.FindFunction(ctx, name)
	if err != nil {
		return nil, err
	}
	e := &entry{function: f}
	number := f.Live
	if number == 0 {
		number = f.Latest
	}
	rev, err := from.revisions.FindRevision(ctx, faas.RevisionRef{Function: name, Number: number})
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

func isNotFound(err error) bool {
	var e *faas.Error
	return errors.As(err, &e) && e.Kind == faas.NotFound
}
