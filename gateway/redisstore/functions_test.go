package redisstore

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
)

func addRevision(t testing.TB, s *Store, name faas.FunctionName) *faas.Revision {
	t.Helper()
	rev, _, err := s.AddRevision(t.Context(), name, faas.FunctionSpec{Command: faas.Command{"true"}}, now())
	must(t, err)
	return rev
}

// makeReady adds a revision and makes it ready.
func makeReady(t testing.TB, s *Store, name faas.FunctionName) *faas.Revision {
	t.Helper()
	rev := addRevision(t, s, name)
	save(t, s, rev, faas.RevisionReady)
	return rev
}

func save(t testing.TB, s *Store, rev *faas.Revision, state faas.RevisionState) int64 {
	t.Helper()
	rev.State = state
	return mustGet[int64](t)(s.SaveRevision(t.Context(), rev))
}

func wantNumbers(t testing.TB, s *Store, name faas.FunctionName, live, latest faas.RevisionNumber) {
	t.Helper()
	f := mustGet[*faas.Function](t)(s.FindFunction(t.Context(), name))
	if f.Live != live || f.Latest != latest {
		t.Fatalf("live %d, latest %d; want %d, %d", f.Live, f.Latest, live, latest)
	}
}

func TestRevisionsAreKeptAsGiven(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s, at := srv.store(t), now()
		spec := faas.FunctionSpec{Command: faas.Command{"a b", "\"ü\n"}, Env: map[string]string{"A": "1"}, Timeout: 5e9}
		rev, created, err := s.AddRevision(t.Context(), "f", spec, at)
		must(t, err)
		want := &faas.Revision{Function: "f", Number: 1, State: faas.RevisionBuilding, Spec: spec, CreatedAt: at}
		if !created || !reflect.DeepEqual(rev, want) {
			t.Errorf("got %+v, created %v", rev, created)
		}
		found := mustGet[*faas.Revision](t)(s.FindRevision(t.Context(), rev.Ref()))
		if !reflect.DeepEqual(found, want) {
			t.Errorf("found %+v, want %+v", found, want)
		}
		ready := now()
		want.State, want.ReadyAt, want.Image, want.SourceSum = faas.RevisionReady, &ready, "sha256:1", "2"
		mustGet[int64](t)(s.SaveRevision(t.Context(), want))
		if found = mustGet[*faas.Revision](t)(s.FindRevision(t.Context(), rev.Ref())); !reflect.DeepEqual(found, want) {
			t.Errorf("found %+v, want %+v", found, want)
		}
		f := mustGet[*faas.Function](t)(s.FindFunction(t.Context(), "f"))
		if f.Live != 1 || f.Latest != 1 || !f.CreatedAt.Equal(at) || f.UpdatedAt.Before(at) {
			t.Errorf("found %+v", f)
		}
	})
}

func TestWhatGoesLive(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		first, second, third := addRevision(t, s, "f"), addRevision(t, s, "f"), addRevision(t, s, "f")
		wantNumbers(t, s, "f", 0, 3)
		save(t, s, second, faas.RevisionReady)
		wantNumbers(t, s, "f", 2, 3)
		save(t, s, first, faas.RevisionReady) // late: it does not replace a newer live revision
		wantNumbers(t, s, "f", 2, 3)
		save(t, s, third, faas.RevisionFailed) // a failed revision is never live
		wantNumbers(t, s, "f", 2, 3)
		mustGet[int64](t)(s.Rollback(t.Context(), "f", 1))
		wantNumbers(t, s, "f", 1, 3)
		save(t, s, second, faas.RevisionReady) // it was ready already, so that the rollback stands
		wantNumbers(t, s, "f", 1, 3)
		makeReady(t, s, "f")
		wantNumbers(t, s, "f", 4, 4)
	})
}

func TestWhatRevisionsRefuse(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		ready, failed, building := makeReady(t, s, "f"), addRevision(t, s, "f"), addRevision(t, s, "f")
		save(t, s, failed, faas.RevisionFailed)
		failed.State, ready.State = faas.RevisionReady, faas.RevisionFailed
		for _, rev := range []*faas.Revision{failed, ready} {
			_, err := s.SaveRevision(t.Context(), rev)
			wantKind(t, err, faas.Conflict)
		}
		for number, kind := range map[faas.RevisionNumber]faas.Kind{failed.Number: faas.Conflict, building.Number: faas.Conflict, 9: faas.NotFound} {
			_, err := s.Rollback(t.Context(), "f", number)
			wantKind(t, err, kind)
		}
		_, err := s.Rollback(t.Context(), "g", 1)
		wantKind(t, err, faas.NotFound)
		_, err = s.SaveRevision(t.Context(), &faas.Revision{Function: "g", Number: 1, State: faas.RevisionReady})
		wantKind(t, err, faas.NotFound)
		_, err = s.FindRevision(t.Context(), faas.RevisionRef{Function: "f", Number: 9})
		wantKind(t, err, faas.NotFound)
		_, err = s.FindFunction(t.Context(), "g")
		wantKind(t, err, faas.NotFound)
		_, _, err = s.ListRevisions(t.Context(), "g", 0, "")
		wantKind(t, err, faas.NotFound)
		_, _, err = s.ListRevisions(t.Context(), "f", 0, "x")
		wantKind(t, err, faas.Invalid)
		wantNumbers(t, s, "f", 1, 3)
	})
}

func TestRegistrationsAtOnceAreRevisionsInOrder(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const n = 50
		s, other := srv.store(t), srv.store(t)
		revs, created, errs := make([]*faas.Revision, n), make([]bool, n), make([]error, n)
		together(n, func(i int) {
			at := []*Store{s, other}[i%2]
			spec := faas.FunctionSpec{Setup: fmt.Sprint(i)}
			revs[i], created[i], errs[i] = at.AddRevision(t.Context(), "f", spec, now())
		})
		var numbers []int
		makers := 0
		for i, rev := range revs {
			must(t, errs[i])
			numbers = append(numbers, int(rev.Number))
			if created[i] {
				makers++
			}
			found := mustGet[*faas.Revision](t)(s.FindRevision(t.Context(), rev.Ref()))
			if found.Spec.Setup != fmt.Sprint(i) {
				t.Errorf("revision %d is %q, want %d", rev.Number, found.Spec.Setup, i)
			}
		}
		slices.Sort(numbers)
		for i, number := range numbers {
			if number != i+1 {
				t.Fatalf("numbers %v", numbers)
			}
		}
		if makers != 1 {
			t.Errorf("%d calls made the function", makers)
		}
	})
}

func TestARepeatedRequestIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		keys := []string{s.keys.function("f"), s.keys.revisions("f"), s.keys.functions(), s.keys.deletedFunctions()}
		c := s.changeCall("the-request", "", keys, []any{"f", "{}", formatTime(now())})
		for range 3 { // as the client does when an answer got lost
			line := mustGet[string](t)(s.eval(t.Context(), addRevisionLua, c.keys, c.args...).Text())
			if line != "ok 1 1" {
				t.Errorf("got %q", line)
			}
		}
		wantNumbers(t, s, "f", 0, 1)
		left := mustGet[time.Duration](t)(s.client.PTTL(t.Context(), c.keys[0]).Result()).Milliseconds()
		if left <= 0 || left > requestLife.Milliseconds() {
			t.Errorf("the request is remembered for %d ms", left)
		}
	})
}

func TestListsOfFunctionsAndRevisionsArePaged(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		for i := range 7 {
			addRevision(t, s, faas.FunctionName(fmt.Sprintf("f%d", 6-i)))
		}
		for range 4 {
			addRevision(t, s, "f0")
		}
		var names []string
		for cursor := ""; ; {
			page, next, err := s.ListFunctions(t.Context(), 3, cursor)
			must(t, err)
			for _, f := range page {
				names = append(names, string(f.Name))
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if got := strings.Join(names, " "); got != "f0 f1 f2 f3 f4 f5 f6" {
			t.Errorf("functions %s", got)
		}
		var numbers []int
		for cursor := ""; ; {
			page, next, err := s.ListRevisions(t.Context(), "f0", 2, cursor)
			must(t, err)
			for _, rev := range page {
				numbers = append(numbers, int(rev.Number))
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if !slices.Equal(numbers, []int{5, 4, 3, 2, 1}) {
			t.Errorf("revisions %v", numbers)
		}
	})
}

func TestNumbersGoOnAfterADeletion(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		makeReady(t, s, "f")
		late := addRevision(t, s, "f")
		mustGet[int64](t)(s.DeleteFunction(t.Context(), "f", false))
		_, err := s.FindFunction(t.Context(), "f")
		wantKind(t, err, faas.NotFound)
		_, err = s.FindRevision(t.Context(), faas.RevisionRef{Function: "f", Number: 1})
		wantKind(t, err, faas.NotFound)
		late.State = faas.RevisionReady
		_, err = s.SaveRevision(t.Context(), late) // as by a build that ends after the deletion
		wantKind(t, err, faas.NotFound)
		_, err = s.DeleteFunction(t.Context(), "f", true)
		wantKind(t, err, faas.NotFound)
		rev, created, err := s.AddRevision(t.Context(), "f", faas.FunctionSpec{}, now())
		must(t, err)
		if !created || rev.Number != 3 {
			t.Errorf("created %v, number %d, want 3", created, rev.Number)
		}
		items, next, err := s.ListRevisions(t.Context(), "f", 0, "")
		must(t, err)
		if len(items) != 1 || next != "" {
			t.Errorf("%d revisions, next %q", len(items), next)
		}
	})
}
