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

// storedFunction is what the store remembers of one function.
type storedFunction struct {
	live      live
	last      faas.RevisionNumber // that a deletion took
	lowest    faas.RevisionNumber // that has any object; 0: none
	numbers   []faas.RevisionNumber
	revisions map[faas.RevisionNumber]*faas.Revision
	claims    map[faas.RevisionNumber][]blob.Key // of builds
}

// stored is everything that the store remembers, tombstones respected.
type stored struct {
	functions map[faas.FunctionName]*storedFunction
	triggers  map[faas.TriggerName]*faas.Trigger
	dead      map[faas.TriggerName]bool // triggers with a tombstone
	leftovers []faas.TriggerName        // that have a copy as well
}

const readStoredAtOnce = 16

// readStored lists and reads all copies.
func (c copies) readStored(ctx context.Context) (*stored, error) {
	all := &stored{
		functions: map[faas.FunctionName]*storedFunction{},
		triggers:  map[faas.TriggerName]*faas.Trigger{}, dead: map[faas.TriggerName]bool{},
	}
	if err := c.each(ctx, functionsPrefix, all.noteFunction); err != nil {
		return nil, err
	}
	if err := c.each(ctx, triggersPrefix, all.noteTrigger); err != nil {
		return nil, err
	}
	if err := c.readFunctions(ctx, all); err != nil {
		return nil, err
	}
	return all, c.readTriggers(ctx, all)
}

func (c copies) each(ctx context.Context, prefix string, note func(rest string)) error {
	for info, err := range c.objects.List(ctx, prefix, "") {
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		note(strings.TrimPrefix(string(info.Key), prefix))
	}
	return nil
}

// noteFunction takes a key below functionsPrefix.
func (all *stored) noteFunction(rest string) {
	name, object, _ := strings.Cut(rest, "/")
	if faas.FunctionName(name).Check() != "" {
		return
	}
	f := all.functions[faas.FunctionName(name)]
	if f == nil {
		f = &storedFunction{revisions: map[faas.RevisionNumber]*faas.Revision{}, claims: map[faas.RevisionNumber][]blob.Key{}}
		all.functions[faas.FunctionName(name)] = f
	}
	n, part, is := revisionObjectOf(object)
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

// noteTrigger takes a key below triggersPrefix.
func (all *stored) noteTrigger(rest string) {
	if name, is := strings.CutSuffix(rest, deletedSuffix); is {
		all.dead[faas.TriggerName(name)] = true
		return
	}
	if name, is := strings.CutSuffix(rest, jsonSuffix); is && faas.TriggerName(name).Check() == "" {
		all.triggers[faas.TriggerName(name)] = nil
	}
}

func (c copies) readFunctions(ctx context.Context, all *stored) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readStoredAtOnce)
	for name, f := range all.functions {
		g.Go(func() error { return c.readFunction(ctx, name, f) })
	}
	return g.Wait()
}

func (c copies) readFunction(ctx context.Context, name faas.FunctionName, f *storedFunction) error {
	var err error
	if f.last, err = c.deletedUpTo(ctx, name); err != nil {
		return err
	}
	if _, err := c.get(ctx, functionKey(name, liveObject), &f.live); err != nil {
		return err
	}
	alive := f.numbers[:0]
	for _, n := range f.numbers {
		if n <= f.last {
			continue
		}
		rev, found, err := c.getRevision(ctx, faas.RevisionRef{Function: name, Number: n})
		if err != nil {
			return err
		}
		if found {
			rev.Function, rev.Number = name, n
			f.revisions[n] = rev
			alive = append(alive, n)
		}
	}
	f.numbers = alive
	slices.Sort(f.numbers)
	return nil
}

func (c copies) readTriggers(ctx context.Context, all *stored) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readStoredAtOnce)
	found := map[faas.TriggerName]*faas.Trigger{}
	for name := range all.triggers {
		if all.dead[name] {
			all.leftovers = append(all.leftovers, name)
			continue
		}
		g.Go(func() error {
			t := &faas.Trigger{}
			there, err := c.get(ctx, triggerKey(name), t)
			if err != nil || !there {
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
	all.triggers = found
	return err
}

// snapshot is what the registry should hold.
func (all *stored) snapshot() *faas.Snapshot {
	s := &faas.Snapshot{Deleted: map[faas.FunctionName]faas.RevisionNumber{}}
	for name, f := range all.functions {
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
	for _, t := range all.triggers {
		s.Triggers = append(s.Triggers, t)
	}
	slices.SortFunc(s.Functions, func(a, b *faas.Function) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Triggers, func(a, b *faas.Trigger) int { // should two clash, the older one stays
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.Name, b.Name))
	})
	return s
}

// function makes the function of its revisions. Live is what live.json says, or
// a newer revision that got ready after that was written.
func (f *storedFunction) function(name faas.FunctionName) *faas.Function {
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

// tombstones lists what is marked as deleted now.
func (c copies) tombstones(ctx context.Context) (functions []faas.FunctionName, triggers []faas.TriggerName, err error) {
	err = c.each(ctx, functionsPrefix, func(rest string) {
		if name, object, _ := strings.Cut(rest, "/"); object == deletedObject {
			functions = append(functions, faas.FunctionName(name))
		}
	})
	if err != nil {
		return nil, nil, err
	}
	err = c.each(ctx, triggersPrefix, func(rest string) {
		if name, is := strings.CutSuffix(rest, deletedSuffix); is {
			triggers = append(triggers, faas.TriggerName(name))
		}
	})
	return functions, triggers, err
}
