package register

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/internal/blob"
	"davit/internal/faas"
)

// manifest has all registrations in the object store, without the deleted ones.
type manifest struct {
	functions map[faas.FunctionName]*functionManifest
	triggers  map[faas.TriggerName]*faas.Trigger
	deleted   map[faas.TriggerName]bool // triggers with a tombstone
	leftovers []faas.TriggerName        // triggers with a tombstone whose object still exists
}

// functionManifest has the objects of one function in the object store.
type functionManifest struct {
	live      live
	last      faas.RevisionNumber // the last deleted revision; 0: none
	lowest    faas.RevisionNumber // the first revision that has any object; 0: none
	numbers   []faas.RevisionNumber
	revisions map[faas.RevisionNumber]*faas.Revision
	claims    map[faas.RevisionNumber][]blob.Key // of builds
}

const readManifestAtOnce = 16

// readManifest lists and reads all objects of registrations.
func (o objects) readManifest(ctx context.Context) (*manifest, error) {
	m := &manifest{
		functions: map[faas.FunctionName]*functionManifest{},
		triggers:  map[faas.TriggerName]*faas.Trigger{}, deleted: map[faas.TriggerName]bool{},
	}
	if err := o.each(ctx, functionsPrefix, m.addFunctionKey); err != nil {
		return nil, err
	}
	if err := o.each(ctx, triggersPrefix, m.addTriggerKey); err != nil {
		return nil, err
	}
	if err := o.readFunctions(ctx, m); err != nil {
		return nil, err
	}
	return m, o.readTriggers(ctx, m)
}

// each calls visit with each key below prefix, without the prefix.
func (o objects) each(ctx context.Context, prefix string, visit func(rest string)) error {
	for info, err := range o.store.List(ctx, prefix, "") {
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		visit(strings.TrimPrefix(string(info.Key), prefix))
	}
	return nil
}

// addFunctionKey adds the object with the key functionsPrefix + rest.
func (m *manifest) addFunctionKey(rest string) {
	name, object, _ := strings.Cut(rest, "/")
	if faas.FunctionName(name).Check() != "" {
		return
	}
	f := m.functions[faas.FunctionName(name)]
	if f == nil {
		f = &functionManifest{revisions: map[faas.RevisionNumber]*faas.Revision{}, claims: map[faas.RevisionNumber][]blob.Key{}}
		m.functions[faas.FunctionName(name)] = f
	}
	n, part, is := parseRevisionKey(object)
	if !is {
		return
	}
	if f.lowest == 0 || n < f.lowest {
		f.lowest = n
	}
	switch {
	case part == revisionObject:
		f.numbers = append(f.numbers, n)
	case strings.HasPrefix(part, builderObject):
		f.claims[n] = append(f.claims[n], blob.Key(functionsPrefix+rest))
	}
}

// addTriggerKey adds the object with the key triggersPrefix + rest.
func (m *manifest) addTriggerKey(rest string) {
	if name, is := strings.CutSuffix(rest, deletedSuffix); is {
		m.deleted[faas.TriggerName(name)] = true
		return
	}
	if name, is := strings.CutSuffix(rest, jsonSuffix); is && faas.TriggerName(name).Check() == "" {
		m.triggers[faas.TriggerName(name)] = nil
	}
}

func (o objects) readFunctions(ctx context.Context, m *manifest) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readManifestAtOnce)
	for name, f := range m.functions {
		g.Go(func() error { return o.readFunction(ctx, name, f) })
	}
	return g.Wait()
}

func (o objects) readFunction(ctx context.Context, name faas.FunctionName, f *functionManifest) error {
	var err error
	if f.last, err = o.deletedUpTo(ctx, name); err != nil {
		return err
	}
	if _, err := o.get(ctx, functionKey(name, liveObject), &f.live); err != nil {
		return err
	}
	existing := f.numbers[:0]
	for _, n := range f.numbers {
		if n <= f.last {
			continue
		}
		rev, found, err := o.getRevision(ctx, faas.RevisionRef{Function: name, Number: n})
		if err != nil {
			return err
		}
		if found {
			rev.Function, rev.Number = name, n
			f.revisions[n] = rev
			existing = append(existing, n)
		}
	}
	f.numbers = existing
	slices.Sort(f.numbers)
	return nil
}

func (o objects) readTriggers(ctx context.Context, m *manifest) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readManifestAtOnce)
	found := map[faas.TriggerName]*faas.Trigger{}
	for name := range m.triggers {
		if m.deleted[name] {
			m.leftovers = append(m.leftovers, name)
			continue
		}
		g.Go(func() error {
			t := &faas.Trigger{}
			exists, err := o.get(ctx, triggerKey(name), t)
			if err != nil || !exists {
				return err
			}
			t.Name = name
			mu.Lock()
			defer mu.Unlock()
			found[name] = t
			return nil
		})
	}
	err := g.Wait()
	m.triggers = found
	return err
}

// snapshot returns the registrations that the registry should have.
func (m *manifest) snapshot() *faas.Snapshot {
	s := &faas.Snapshot{Deleted: map[faas.FunctionName]faas.RevisionNumber{}}
	for name, f := range m.functions {
		if f.last > 0 {
			s.Deleted[name] = f.last
		}
		if len(f.numbers) == 0 {
			continue
		}
		s.Functions = append(s.Functions, f.function(name))
		for _, n := range f.numbers {
			s.Revisions = append(s.Revisions, f.revisions[n])
		}
	}
	for _, t := range m.triggers {
		s.Triggers = append(s.Triggers, t)
	}
	slices.SortFunc(s.Functions, func(a, b *faas.Function) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Triggers, func(a, b *faas.Trigger) int { // of two triggers with one path, the older one stays
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.Name, b.Name))
	})
	return s
}

// function returns the function with these revisions. Live is the revision in live.json, or a newer one that became
// ready after live.json was written.
func (f *functionManifest) function(name faas.FunctionName) *faas.Function {
	first, latest := f.revisions[f.numbers[0]], f.revisions[f.numbers[len(f.numbers)-1]]
	fn := &faas.Function{Name: name, Latest: latest.Number, CreatedAt: first.CreatedAt, UpdatedAt: latest.CreatedAt}
	var since time.Time
	if rev := f.revisions[f.live.Revision]; rev != nil && rev.State == faas.RevisionReady {
		fn.Live, since = rev.Number, f.live.At
	}
	for _, n := range f.numbers {
		rev := f.revisions[n]
		if rev.State == faas.RevisionReady && rev.ReadyAt != nil && n > fn.Live && rev.ReadyAt.After(since) {
			fn.Live = n
		}
		if rev.ReadyAt != nil && rev.ReadyAt.After(fn.UpdatedAt) {
			fn.UpdatedAt = *rev.ReadyAt
		}
	}
	if since.After(fn.UpdatedAt) {
		fn.UpdatedAt = since
	}
	return fn
}

// tombstones lists the functions and triggers that have a tombstone now.
func (o objects) tombstones(ctx context.Context) (functions []faas.FunctionName, triggers []faas.TriggerName, err error) {
	err = o.each(ctx, functionsPrefix, func(rest string) {
		if name, object, _ := strings.Cut(rest, "/"); object == deletedObject {
			functions = append(functions, faas.FunctionName(name))
		}
	})
	if err != nil {
		return nil, nil, err
	}
	err = o.each(ctx, triggersPrefix, func(rest string) {
		if name, is := strings.CutSuffix(rest, deletedSuffix); is {
			triggers = append(triggers, faas.TriggerName(name))
		}
	})
	return functions, triggers, err
}
