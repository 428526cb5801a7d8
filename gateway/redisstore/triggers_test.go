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

func trigger(name faas.TriggerName, fn faas.FunctionName, path string) *faas.Trigger {
	at := now()
	return &faas.Trigger{
		Name: name, CreatedAt: at, UpdatedAt: at,
		TriggerSpec: faas.TriggerSpec{Function: fn, Methods: []string{"GET", "POST"}, Path: path},
	}
}

// endpointsOf stands in for route.Endpoints.
func endpointsOf(t *faas.Trigger) ([]string, error) {
	var endpoints []string
	for _, method := range t.Methods {
		endpoints = append(endpoints, method+" "+t.Path)
	}
	return endpoints, nil
}

func saveTrigger(s *Store, t *faas.Trigger, tb testing.TB) (bool, int64, error) {
	tb.Helper()
	endpoints, err := endpointsOf(t)
	must(tb, err)
	return s.SaveTrigger(tb.Context(), t, endpoints)
}

func mustSaveTrigger(t testing.TB, s *Store, tr *faas.Trigger) {
	t.Helper()
	_, _, err := saveTrigger(s, tr, t)
	must(t, err)
}

func TestTriggersAreKeptAsGiven(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		addRevision(t, s, "f")
		want := trigger("a", "f", "/a b/:x")
		want.Command = faas.Command{"sh", "-c", "a\n\"b\" ü"}
		created, version, err := saveTrigger(s, want, t)
		must(t, err)
		if !created || version == 0 {
			t.Errorf("created %v, version %d", created, version)
		}
		if got := mustGet[*faas.Trigger](t)(s.FindTrigger(t.Context(), "a")); !reflect.DeepEqual(got, want) {
			t.Errorf("found %+v, want %+v", got, want)
		}
		first := want.CreatedAt
		again := trigger("a", "f", "/other")
		again.CreatedAt = first.Add(time.Hour)
		again.UpdatedAt = first.Add(time.Hour)
		created, later, err := saveTrigger(s, again, t)
		must(t, err)
		if created || later != version+1 || !again.CreatedAt.Equal(first) {
			t.Errorf("created %v, version %d then %d, created at %v", created, version, later, again.CreatedAt)
		}
		if got := mustGet[*faas.Trigger](t)(s.FindTrigger(t.Context(), "a")); !reflect.DeepEqual(got, again) {
			t.Errorf("found %+v, want %+v", got, again)
		}
	})
}

func TestTriggersThatClash(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		addRevision(t, s, "f")
		addRevision(t, s, "g")
		_, _, err := saveTrigger(s, trigger("a", "nobody", "/a"), t)
		wantKind(t, err, faas.NotFound)
		mustSaveTrigger(t, s, trigger("a", "f", "/a"))
		_, _, err = s.SaveTrigger(t.Context(), trigger("b", "g", "/a"), []string{"PUT /a", "POST /a"})
		wantKind(t, err, faas.Conflict)
		if !strings.Contains(err.Error(), `"a" takes POST /a already`) {
			t.Errorf("got %v", err)
		}
		_, err = s.FindTrigger(t.Context(), "b")
		wantKind(t, err, faas.NotFound)
		_, _, err = s.SaveTrigger(t.Context(), trigger("b", "g", "/a"), []string{"PUT /a"}) // the endpoint of the refused trigger is free
		must(t, err)
		mustSaveTrigger(t, s, trigger("a", "g", "/c")) // another path and another function
		mustSaveTrigger(t, s, trigger("d", "f", "/a"))
		mustGet[int64](t)(s.DeleteTrigger(t.Context(), "d"))
		_, err = s.DeleteTrigger(t.Context(), "d")
		wantKind(t, err, faas.NotFound)
		mustSaveTrigger(t, s, trigger("e", "f", "/a"))
		for fn, want := range map[faas.FunctionName][]faas.TriggerName{"f": {"e"}, "g": {"a", "b"}, "h": {}} {
			if got := mustGet[[]faas.TriggerName](t)(s.TriggersOf(t.Context(), fn)); !slices.Equal(got, want) {
				t.Errorf("triggers of %s: %v, want %v", fn, got, want)
			}
		}
	})
}

func TestADeletedFunctionTakesItsTriggersAlong(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.store(t)
		for _, fn := range []faas.FunctionName{"f", "f-2", "fa"} { // names with the same beginning
			addRevision(t, s, fn)
			mustSaveTrigger(t, s, trigger(faas.TriggerName("t-"+fn), fn, "/"+string(fn)))
		}
		for i := range 30 {
			mustSaveTrigger(t, s, trigger(faas.TriggerName(fmt.Sprintf("u%02d", i)), "f", fmt.Sprintf("/u/%d", i)))
		}
		_, err := s.DeleteFunction(t.Context(), "f", false)
		wantKind(t, err, faas.Conflict)
		if !strings.Contains(err.Error(), "t-f, u00, u01,") || !strings.Contains(err.Error(), "and 11 more") {
			t.Errorf("got %v", err)
		}
		wantNumbers(t, s, "f", 0, 1)
		before := mustGet[*faas.Snapshot](t)(s.Snapshot(t.Context())).Version
		version := mustGet[int64](t)(s.DeleteFunction(t.Context(), "f", true))
		changes := mustGet[faas.Changes](t)(s.Changes(t.Context(), before))
		if version != before+1 || changes.Version != version || len(changes.Triggers) != 31 || len(changes.Functions) != 1 {
			t.Errorf("version %d after %d, changes %+v", version, before, changes)
		}
		left, next, err := s.ListTriggers(t.Context(), 0, "")
		must(t, err)
		if len(left) != 2 || left[0].Name != "t-f-2" || left[1].Name != "t-fa" || next != "" {
			t.Errorf("left %v", left)
		}
		addRevision(t, s, "g")
		mustSaveTrigger(t, s, trigger("new", "g", "/u/3"))
	})
}

func TestTriggersSavedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const n = 50
		s, other := srv.store(t), srv.store(t)
		addRevision(t, s, "f")
		errs, created := make([]error, n), make([]bool, n)
		// One name with different endpoints, and one endpoint for different names.
		together(n, func(i int) {
			at := []*Store{s, other}[i%2]
			if i < n/2 {
				tr := trigger("same", "f", fmt.Sprintf("/same/%d", i))
				created[i], _, errs[i] = at.SaveTrigger(t.Context(), tr, []string{"GET " + tr.Path, "POST " + tr.Path})
				return
			}
			created[i], _, errs[i] = at.SaveTrigger(t.Context(), trigger(faas.TriggerName(fmt.Sprintf("n%d", i)), "f", "/one"), []string{"GET /one"})
		})
		makers, winners := 0, 0
		for i := range n {
			switch {
			case i < n/2:
				must(t, errs[i])
				if created[i] {
					makers++
				}
			case errs[i] == nil:
				winners++
			default:
				wantKind(t, errs[i], faas.Conflict)
			}
		}
		if makers != 1 || winners != 1 {
			t.Errorf("%d calls made the trigger, %d took the endpoint", makers, winners)
		}
		stands := mustGet[*faas.Trigger](t)(s.FindTrigger(t.Context(), "same"))
		endpoints := mustGet[map[string]string](t)(s.client.HGetAll(t.Context(), s.keys.triggerEndpoints()).Result())
		if len(endpoints) != 3 || endpoints["GET "+stands.Path] != "same" || endpoints["POST "+stands.Path] != "same" {
			t.Errorf("%s stands, endpoints %v", stands.Path, endpoints)
		}
	})
}
