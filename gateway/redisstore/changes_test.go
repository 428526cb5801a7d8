package redisstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"davit/internal/faas"
)

func TestChanges(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		start := mustGet[*faas.Snapshot](t)(s.Snapshot(t.Context())).Version
		changes := func(since int64) faas.Changes { return mustGet[faas.Changes](t)(s.Changes(t.Context(), since)) }
		if c := changes(start); c.Version != start || c.Full || c.Functions != nil || c.Triggers != nil {
			t.Errorf("without a change: %+v", c)
		}
		addRevision(t, s, "f")
		addRevision(t, s, "f")
		mustSaveTrigger(t, s, trigger("a", "f", "/a"))
		addRevision(t, s, "g")
		c := changes(start)
		if c.Full || c.Version != start+4 || !slices.Equal(c.Functions, []faas.FunctionName{"f", "g"}) || !slices.Equal(c.Triggers, []faas.TriggerName{"a"}) {
			t.Errorf("after four: %+v", c)
		}
		if c := changes(start + 3); c.Full || c.Triggers != nil || !slices.Equal(c.Functions, []faas.FunctionName{"g"}) {
			t.Errorf("the last one: %+v", c)
		}
		for _, since := range []int64{0, start - 1, start + 5, start + 1e9} {
			if c := changes(since); !c.Full || c.Version != start+4 {
				t.Errorf("since %d: %+v", since, c)
			}
		}
	})
}

func TestTheChangeLogIsTrimmed(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		start := mustGet[*faas.Snapshot](t)(s.Snapshot(t.Context())).Version
		var filler []any
		for i := range 9999 {
			filler = append(filler, fmt.Sprint("f:", i))
		}
		must(t, s.client.RPush(t.Context(), s.keys.changes(), filler...).Err())
		must(t, s.client.IncrBy(t.Context(), s.keys.version(), int64(len(filler))).Err())
		addRevision(t, s, "f")
		if c := mustGet[faas.Changes](t)(s.Changes(t.Context(), start)); c.Full || len(c.Functions) != 10_000 {
			t.Errorf("full %v, %d functions; want the last 10,000", c.Full, len(c.Functions))
		}
		addRevision(t, s, "f")
		if c := mustGet[faas.Changes](t)(s.Changes(t.Context(), start)); !c.Full {
			t.Error("the oldest change is forgotten and nobody says so")
		}
		if n := mustGet[int64](t)(s.client.LLen(t.Context(), s.keys.changes()).Result()); n != 10_000 {
			t.Errorf("the log has %d entries", n)
		}
	})
}

func TestAnEmptiedRedisIsNotAnEmptyRegistry(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		_, _, errAdd := s.AddRevision(t.Context(), "f", faas.FunctionSpec{}, now())
		_, errSave := s.SaveRevision(t.Context(), &faas.Revision{Function: "f", Number: 1})
		_, errFunction := s.FindFunction(t.Context(), "f")
		_, errRevision := s.FindRevision(t.Context(), faas.RevisionRef{Function: "f", Number: 1})
		_, _, errRevisions := s.ListRevisions(t.Context(), "f", 0, "")
		_, errTrigger := s.FindTrigger(t.Context(), "t")
		_, _, errSaveTrigger := saveTrigger(s, trigger("t", "f", "/"), t)
		_, errDelete := s.DeleteFunction(t.Context(), "f", true)
		_, errDeleteTrigger := s.DeleteTrigger(t.Context(), "t")
		_, errChanges := s.Changes(t.Context(), 0)
		_, errSnapshot := s.Snapshot(t.Context())
		for i, err := range []error{
			errAdd, errSave, errFunction, errRevision, errRevisions, errTrigger, errSaveTrigger, errDelete, errDeleteTrigger, errChanges, errSnapshot,
		} {
			if !errors.Is(err, faas.ErrEmpty) || faas.KindOf(err) != faas.Unavailable {
				t.Errorf("%d: got %v", i, err)
			}
		}
	})
}

// everything returns all registrations with every revision.
func everything(t testing.TB, s *Store) *faas.Snapshot {
	t.Helper()
	all := mustGet[*faas.Snapshot](t)(s.Snapshot(t.Context()))
	all.Revisions = nil
	for _, f := range all.Functions {
		revisions, _, err := s.ListRevisions(t.Context(), f.Name, 1000, "")
		must(t, err)
		slices.Reverse(revisions)
		all.Revisions = append(all.Revisions, revisions...)
	}
	slices.SortFunc(all.Triggers, func(a, b *faas.Trigger) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func describe(all *faas.Snapshot) string {
	var b strings.Builder
	for _, f := range all.Functions {
		fmt.Fprintf(&b, "%+v\n", *f)
	}
	for _, rev := range all.Revisions {
		fmt.Fprintf(&b, "%+v\n", *rev)
	}
	for _, tr := range all.Triggers {
		fmt.Fprintf(&b, "%+v\n", *tr)
	}
	return b.String()
}

// furnish makes functions, revisions and triggers.
func furnish(t testing.TB, s *Store) {
	t.Helper()
	for _, fn := range []faas.FunctionName{"f", "g", "gone", "back"} {
		makeReady(t, s, fn)
		makeReady(t, s, fn)
		save(t, s, addRevision(t, s, fn), faas.RevisionFailed)
	}
	addRevision(t, s, "new")
	for i := range 5 {
		mustSaveTrigger(t, s, trigger(faas.TriggerName(fmt.Sprint("t", i)), "f", fmt.Sprint("/", i)))
	}
	for _, fn := range []faas.FunctionName{"gone", "back"} {
		mustGet[int64](t)(s.DeleteFunction(t.Context(), fn, true))
	}
	makeReady(t, s, "back")
	mustGet[int64](t)(s.Rollback(t.Context(), "g", 1))
}

func TestRestoreBringsEverythingBack(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		furnish(t, s)
		before := everything(t, s)
		must(t, s.client.FlushAll(t.Context()).Err())
		_, err := s.Snapshot(t.Context())
		if !errors.Is(err, faas.ErrEmpty) {
			t.Fatalf("got %v", err)
		}
		const gateways = 4 // which notice the loss at the same time
		errs := make([]error, gateways)
		together(gateways, func(i int) { errs[i] = s.Restore(t.Context(), before) })
		for _, err := range errs {
			must(t, err)
		}
		after := everything(t, s)
		if got, want := describe(after), describe(before); got != want {
			t.Errorf("restored\n%s\nwant\n%s", got, want)
		}
		if after.Version <= before.Version {
			t.Errorf("version %d after %d", after.Version, before.Version)
		}
		if c := mustGet[faas.Changes](t)(s.Changes(t.Context(), before.Version)); !c.Full {
			t.Errorf("whoever served the lost registry does not hear that it is another: %+v", c)
		}
		for fn, want := range map[faas.FunctionName]faas.RevisionNumber{"gone": 4, "back": 5, "f": 4, "new": 2} {
			if rev := addRevision(t, s, fn); rev.Number != want {
				t.Errorf("%s goes on at %d, want %d", fn, rev.Number, want)
			}
		}
		_, _, err = saveTrigger(s, trigger("other", "g", "/3"), t)
		wantKind(t, err, faas.Conflict)
	})
}

func TestRestoreLeavesAloneWhatIsNewer(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		furnish(t, s)
		old := everything(t, s)
		makeReady(t, s, "f")
		moved := trigger("t0", "f", "/moved")
		mustSaveTrigger(t, s, moved)
		mustGet[int64](t)(s.DeleteTrigger(t.Context(), "t1"))
		mustSaveTrigger(t, s, trigger("squatter", "g", "/1"))
		newer := everything(t, s)
		must(t, s.Restore(t.Context(), old)) // the endpoints of t1 belong to another trigger by now
		if got, want := describe(everything(t, s)), describe(newer); got != want {
			t.Errorf("restored\n%s\nwant\n%s", got, want)
		}
		if c := mustGet[faas.Changes](t)(s.Changes(t.Context(), newer.Version)); c.Version != newer.Version {
			t.Errorf("Restore changed nothing, but the changes are %+v", c)
		}
	})
}

func TestRestoreFillsGaps(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		rev := addRevision(t, s, "f")
		lost := everything(t, s) // the state to which Redis falls back when it loses the last writes
		save(t, s, rev, faas.RevisionReady)
		makeReady(t, s, "f")
		mustSaveTrigger(t, s, trigger("t", "f", "/"))
		full := everything(t, s)
		must(t, s.client.FlushAll(t.Context()).Err())
		must(t, s.Restore(t.Context(), lost))
		version := mustGet[*faas.Snapshot](t)(s.Snapshot(t.Context())).Version
		must(t, s.Restore(t.Context(), full))
		if got, want := describe(everything(t, s)), describe(full); got != want {
			t.Errorf("restored\n%s\nwant\n%s", got, want)
		}
		c := mustGet[faas.Changes](t)(s.Changes(t.Context(), version))
		if c.Full || !slices.Equal(c.Functions, []faas.FunctionName{"f"}) || !slices.Equal(c.Triggers, []faas.TriggerName{"t"}) {
			t.Errorf("changes %+v", c)
		}
	})
}
