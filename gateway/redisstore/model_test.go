package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"davit/internal/faas"
)

// model is what the registry should contain, in the simplest form.
type model struct {
	functions map[faas.FunctionName]*modelFunction
	last      map[faas.FunctionName]faas.RevisionNumber // also of deleted functions
	triggers  map[faas.TriggerName]modelTrigger
	touched   map[string]int64 // "f:NAME" or "t:NAME" → the version of its last change
	version   int64
}

type modelFunction struct {
	live   faas.RevisionNumber
	states map[faas.RevisionNumber]faas.RevisionState
}

type modelTrigger struct {
	function  faas.FunctionName
	endpoints []string
}

func (m *model) changed(names ...string) {
	m.version++
	for _, name := range names {
		m.touched[name] = m.version
	}
}

func (m *model) add(fn faas.FunctionName) faas.RevisionNumber {
	f := m.functions[fn]
	if f == nil {
		f = &modelFunction{states: map[faas.RevisionNumber]faas.RevisionState{}}
		m.functions[fn] = f
	}
	m.last[fn]++
	f.states[m.last[fn]] = faas.RevisionBuilding
	m.changed("f:" + string(fn))
	return m.last[fn]
}

func (m *model) save(ref faas.RevisionRef, state faas.RevisionState) faas.Kind {
	f := m.functions[ref.Function]
	if f == nil || f.states[ref.Number] == "" {
		return faas.NotFound
	}
	was := f.states[ref.Number]
	if was != faas.RevisionBuilding && was != state {
		return faas.Conflict
	}
	f.states[ref.Number] = state
	if was != state && state == faas.RevisionReady && ref.Number > f.live {
		f.live = ref.Number
	}
	m.changed("f:" + string(ref.Function))
	return ""
}

func (m *model) rollback(ref faas.RevisionRef) faas.Kind {
	f := m.functions[ref.Function]
	switch {
	case f == nil || f.states[ref.Number] == "":
		return faas.NotFound
	case f.states[ref.Number] != faas.RevisionReady:
		return faas.Conflict
	}
	f.live = ref.Number
	m.changed("f:" + string(ref.Function))
	return ""
}

func (m *model) deleteFunction(fn faas.FunctionName, withTriggers bool) faas.Kind {
	if m.functions[fn] == nil {
		return faas.NotFound
	}
	names := []string{"f:" + string(fn)}
	for name, t := range m.triggers {
		if t.function == fn {
			names = append(names, "t:"+string(name))
		}
	}
	if len(names) > 1 && !withTriggers {
		return faas.Conflict
	}
	delete(m.functions, fn)
	maps.DeleteFunc(m.triggers, func(_ faas.TriggerName, t modelTrigger) bool { return t.function == fn })
	m.changed(names...)
	return ""
}

func (m *model) saveTrigger(name faas.TriggerName, fn faas.FunctionName, endpoints []string) faas.Kind {
	if m.functions[fn] == nil {
		return faas.NotFound
	}
	for other, t := range m.triggers {
		if other != name && slices.ContainsFunc(endpoints, func(s string) bool { return slices.Contains(t.endpoints, s) }) {
			return faas.Conflict
		}
	}
	m.triggers[name] = modelTrigger{function: fn, endpoints: endpoints}
	m.changed("t:" + string(name))
	return ""
}

func (m *model) deleteTrigger(name faas.TriggerName) faas.Kind {
	if _, ok := m.triggers[name]; !ok {
		return faas.NotFound
	}
	delete(m.triggers, name)
	m.changed("t:" + string(name))
	return ""
}

// String describes what the registry should return.
func (m *model) String() string {
	var lines []string
	for name, f := range m.functions {
		lines = append(lines, fmt.Sprintf("%s live %d latest %d", name, f.live, m.last[name]))
		for number, state := range f.states {
			lines = append(lines, fmt.Sprintf("%s@%d %s", name, number, state))
		}
	}
	for name, t := range m.triggers {
		lines = append(lines, fmt.Sprintf("trigger %s of %s on %v", name, t.function, t.endpoints))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// shown describes what the registry returns.
func shown(t *rapid.T, s *Store) string {
	var lines []string
	all, err := s.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Functions {
		lines = append(lines, fmt.Sprintf("%s live %d latest %d", f.Name, f.Live, f.Latest))
		revisions, _, err := s.ListRevisions(context.Background(), f.Name, 1000, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, rev := range revisions {
			lines = append(lines, fmt.Sprintf("%s %s", rev.Ref(), rev.State))
		}
	}
	endpoints, err := s.client.HGetAll(context.Background(), s.keys.triggerEndpoints()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range all.Triggers {
		var held []string
		for endpoint, owner := range endpoints {
			if owner == string(tr.Name) {
				held = append(held, endpoint)
			}
		}
		slices.Sort(held)
		lines = append(lines, fmt.Sprintf("trigger %s of %s on %v", tr.Name, tr.Function, held))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestRegistryModel compares the registry with the model after any sequence of changes by two gateways in turn.
func TestRegistryModel(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		stores := []*Store{srv.bare(t), srv.bare(t)}
		run := 0
		rapid.Check(t, func(t *rapid.T) {
			run++
			for _, s := range stores {
				s.keys.prefix = fmt.Sprint("run", run, ":")
				if err := s.Restore(context.Background(), &faas.Snapshot{}); err != nil {
					t.Fatal(err)
				}
			}
			walk(t, stores)
		})
	})
}

func walk(t *rapid.T, stores []*Store) {
	first, err := stores[0].Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	m := &model{
		functions: map[faas.FunctionName]*modelFunction{}, last: map[faas.FunctionName]faas.RevisionNumber{},
		triggers: map[faas.TriggerName]modelTrigger{}, touched: map[string]int64{}, version: first.Version,
	}
	steps := rapid.IntRange(1, 25).Draw(t, "steps")
	for i := range steps {
		step(t, stores[i%len(stores)], m)
	}
	if got, want := shown(t, stores[0]), m.String(); got != want {
		t.Fatalf("the registry holds\n%s\nwant\n%s", got, want)
	}
	since := first.Version + rapid.Int64Range(0, m.version-first.Version).Draw(t, "since")
	checkChanges(t, stores[1], m, since)
}

func checkChanges(t *rapid.T, s *Store, m *model, since int64) {
	c, err := s.Changes(context.Background(), since)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, name := range c.Functions {
		got = append(got, "f:"+string(name))
	}
	for _, name := range c.Triggers {
		got = append(got, "t:"+string(name))
	}
	for name, version := range m.touched {
		if version > since {
			want = append(want, name)
		}
	}
	slices.SortFunc(got, cmp.Compare)
	slices.SortFunc(want, cmp.Compare)
	if c.Full || c.Version != m.version || !slices.Equal(got, want) {
		t.Fatalf("changes since %d: %+v; want %v at version %d", since, c, want, m.version)
	}
}

// step makes one change in the registry and in the model.
func step(t *rapid.T, s *Store, m *model) {
	ctx := context.Background()
	ref := faas.RevisionRef{
		Function: faas.FunctionName(rapid.SampledFrom([]string{"f", "f-1", "g"}).Draw(t, "function")),
		Number:   faas.RevisionNumber(rapid.IntRange(1, 5).Draw(t, "number")),
	}
	name := faas.TriggerName(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "trigger"))
	var err error
	var want faas.Kind
	switch what := rapid.SampledFrom([]string{"add", "add", "save", "save", "rollback", "delete", "trigger", "trigger", "drop"}).Draw(t, "change"); what {
	case "add":
		var rev *faas.Revision
		rev, _, err = s.AddRevision(ctx, ref.Function, faas.FunctionSpec{}, now())
		if number := m.add(ref.Function); err == nil && rev.Number != number {
			t.Fatalf("%s got number %d, want %d", ref.Function, rev.Number, number)
		}
	case "save":
		state := rapid.SampledFrom([]faas.RevisionState{faas.RevisionReady, faas.RevisionReady, faas.RevisionFailed}).Draw(t, "state")
		_, err = s.SaveRevision(ctx, &faas.Revision{Function: ref.Function, Number: ref.Number, State: state})
		want = m.save(ref, state)
	case "rollback":
		_, err = s.Rollback(ctx, ref.Function, ref.Number)
		want = m.rollback(ref)
	case "delete":
		with := rapid.Bool().Draw(t, "with triggers")
		_, err = s.DeleteFunction(ctx, ref.Function, with)
		want = m.deleteFunction(ref.Function, with)
	case "trigger":
		endpoints := rapid.SampledFrom([][]string{{"GET /x"}, {"GET /x", "POST /x"}, {"GET /y", "POST /x"}, {"PUT /:"}, {"GET /z"}}).Draw(t, "endpoints")
		tr := &faas.Trigger{Name: name, TriggerSpec: faas.TriggerSpec{Function: ref.Function}, CreatedAt: now(), UpdatedAt: now()}
		_, _, err = s.SaveTrigger(ctx, tr, endpoints)
		want = m.saveTrigger(name, ref.Function, endpoints)
	default:
		_, err = s.DeleteTrigger(ctx, name)
		want = m.deleteTrigger(name)
	}
	if (err == nil) != (want == "") || err != nil && faas.KindOf(err) != want {
		t.Fatalf("got %v, want kind %q", err, want)
	}
}
