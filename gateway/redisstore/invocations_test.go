package redisstore

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"davit/internal/faas"
)

func newInvocation(t testing.TB, fn faas.FunctionName, trigger faas.TriggerName, state faas.State) *faas.Invocation {
	t.Helper()
	id, err := faas.NewInvocationID()
	must(t, err)
	inv := &faas.Invocation{
		ID: id, Function: fn, Revision: 1, Trigger: trigger, Mode: faas.ModeJob, State: state, Attempt: 1, CreatedAt: now(),
		Inner: &faas.Inner{Gateway: "g1", Keep: faas.KeepAll},
	}
	if state.Final() {
		end(inv, state)
	}
	return inv
}

func end(inv *faas.Invocation, state faas.State) {
	reason := map[faas.State]faas.Reason{faas.Failed: faas.ReasonExitCode, faas.StateCancelled: faas.ReasonCancelled}[state]
	inv.End(reason, "", now())
}

// ended returns a copy of inv that has ended.
func ended(inv *faas.Invocation, state faas.State) *faas.Invocation {
	c := inv.Clone()
	end(c, state)
	return c
}

func saveInvocation(t testing.TB, s *Store, invs ...*faas.Invocation) {
	t.Helper()
	must(t, s.SaveInvocations(t.Context(), invs))
}

func find(t testing.TB, s *Store, id faas.InvocationID) *faas.Invocation {
	t.Helper()
	return mustGet[*faas.Invocation](t)(s.FindInvocation(t.Context(), id))
}

// counts are the numbers of records, in all and by the indexes of states.
type counts struct{ All, Queued, Starting, Running, Final int64 }

// countLua reads the sizes of the indexes at one instant. KEYS[1] invocations, KEYS[2]… byState.
const countLua = `
local n = {}
for i = 1, #KEYS do n[i] = redis.call('ZCARD', KEYS[i]) end
return n
`

func count(ctx context.Context, s *Store) (counts, error) {
	keys := []string{s.keys.invocations()}
	for _, state := range states() {
		keys = append(keys, s.keys.byState(state))
	}
	n, err := s.eval(ctx, countLua, keys).Int64Slice()
	if err != nil {
		return counts{}, err
	}
	return counts{All: n[0], Queued: n[1], Starting: n[2], Running: n[3], Final: n[4] + n[5] + n[6]}, nil
}

// conserved reports whether each record has exactly one state.
func (c counts) conserved() bool { return c.All == c.Queued+c.Starting+c.Running+c.Final }

func wantCounts(t testing.TB, s *Store, want counts) {
	t.Helper()
	got := mustGet[counts](t)(count(t.Context(), s))
	if got != want || !got.conserved() {
		t.Errorf("the indexes have %+v, want %+v", got, want)
	}
}

func TestInvocationsAreKeptAsGiven(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		_, err := s.FindInvocation(t.Context(), "01912d68-783e-7a0a-9d5c-6d0c5e5f3a11")
		wantKind(t, err, faas.NotFound)
		want := newInvocation(t, "f", "tr", faas.Failed)
		started, code, signal := now(), 3, "SIGKILL"
		want.StartedAt, want.ExitCode, want.Signal, want.Detail = &started, &code, &signal, "a\n\"b\" ü"
		want.Input = &faas.Input{Size: 1 << 40, SHA256: "x", ContentType: "text/plain", Stored: true}
		want.Result = &faas.Result{Size: 3, FileCount: 1, Files: []faas.ResultFile{{Path: "a b", Size: 3}}}
		want.Phases = faas.Phases{Queue: 1, Run: 5e9}
		want.Inner.Runner, want.Inner.Cancelled = "r1", true
		saveInvocation(t, s, want)
		if got := find(t, s, want.ID); !reflect.DeepEqual(got, want) {
			t.Errorf("found %+v, want %+v", got, want)
		}
		plain := newInvocation(t, "f", "tr", faas.Queued)
		plain.Inner = nil
		saveInvocation(t, s, plain)
		if got := find(t, s, plain.ID); !reflect.DeepEqual(got, plain) {
			t.Errorf("found %+v, want %+v", got, plain)
		}
		err = s.SaveInvocations(t.Context(), []*faas.Invocation{newInvocation(t, "f", "tr", "dreaming")})
		wantKind(t, err, faas.Internal)
	})
}

func TestWhatSaveInvocationsPassesOver(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		type write struct {
			state   faas.State
			attempt int
		}
		cases := []struct {
			name   string
			writes []write
			want   write
		}{
			{"goes on", []write{{faas.Queued, 1}, {faas.Starting, 1}, {faas.Running, 1}, {faas.Succeeded, 1}}, write{faas.Succeeded, 1}},
			{"skips", []write{{faas.Queued, 1}, {faas.Failed, 1}}, write{faas.Failed, 1}},
			{"never back", []write{{faas.Running, 1}, {faas.Starting, 1}, {faas.Queued, 1}}, write{faas.Running, 1}},
			{"never over a final one", []write{{faas.Failed, 1}, {faas.Succeeded, 1}, {faas.Running, 1}, {faas.Running, 2}}, write{faas.Failed, 1}},
			{"a new attempt begins again", []write{{faas.Running, 1}, {faas.Queued, 2}}, write{faas.Queued, 2}},
			{"never over a later attempt", []write{{faas.Queued, 2}, {faas.Running, 1}, {faas.Succeeded, 1}}, write{faas.Queued, 2}},
		}
		for _, c := range cases {
			inv := newInvocation(t, "f", "tr", faas.Queued)
			for _, w := range c.writes {
				next := inv.Clone()
				next.State, next.Attempt = w.state, w.attempt
				saveInvocation(t, s, next)
			}
			got := find(t, s, inv.ID)
			if (write{got.State, got.Attempt}) != c.want {
				t.Errorf("%s: %s in attempt %d, want %+v", c.name, got.State, got.Attempt, c.want)
			}
		}
		wantCounts(t, s, counts{All: 6, Final: 3, Queued: 2, Running: 1})
	})
}

func TestOneBatchHoldsManyWritesOfOneInvocation(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		var batch []*faas.Invocation
		for range 100 {
			inv := newInvocation(t, "f", "tr", faas.Queued)
			running := inv.Clone()
			running.State = faas.Running
			batch = append(batch, inv, running, ended(inv, faas.Succeeded), running)
		}
		saveInvocation(t, s, batch...)
		wantCounts(t, s, counts{All: 100, Final: 100})
	})
}

func TestUpdatesAreNeverLost(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const n = 20
		stores := []*Store{srv.bare(t), srv.bare(t)}
		inv := newInvocation(t, "f", "tr", faas.Running)
		inv.Input = &faas.Input{}
		saveInvocation(t, stores[0], inv)
		errs := make([]error, n)
		together(n, func(i int) {
			_, errs[i] = stores[i%2].UpdateInvocation(t.Context(), inv.ID, func(i *faas.Invocation) error {
				i.Input.Size++
				return nil
			})
		})
		for _, err := range errs {
			must(t, err)
		}
		if got := find(t, stores[0], inv.ID); got.Input.Size != n {
			t.Errorf("%d of %d updates arrived", got.Input.Size, n)
		}
	})
}

func TestWhatUpdateInvocationRefuses(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		running, over := newInvocation(t, "f", "tr", faas.Running), newInvocation(t, "f", "tr", faas.Failed)
		running.Attempt = 2
		saveInvocation(t, s, running, over)
		own := errors.New("no")
		cases := []struct {
			name   string
			id     faas.InvocationID
			change func(*faas.Invocation) error
			kind   faas.Kind
		}{
			{"its own error", running.ID, func(*faas.Invocation) error { return own }, faas.Internal},
			{"not there", "01912d68-783e-7a0a-9d5c-6d0c5e5f3a11", func(*faas.Invocation) error { return nil }, faas.NotFound},
			{"to settle", running.ID, func(i *faas.Invocation) error { end(i, faas.Failed); return nil }, faas.Internal},
			{"an attempt before", running.ID, func(i *faas.Invocation) error { i.Attempt--; return nil }, faas.Conflict},
			{"to revive", over.ID, func(i *faas.Invocation) error { i.State = faas.Running; return nil }, faas.Conflict},
			{"another end", over.ID, func(i *faas.Invocation) error { end(i, faas.Succeeded); return nil }, faas.Conflict},
			{"another code", over.ID, func(i *faas.Invocation) error { i.ExitCode = new(int); return nil }, faas.Conflict},
		}
		for _, c := range cases {
			_, err := s.UpdateInvocation(t.Context(), c.id, c.change)
			if faas.KindOf(err) != c.kind || err == nil {
				t.Errorf("%s: got %v", c.name, err)
			}
		}
		updated := mustGet[*faas.Invocation](t)(s.UpdateInvocation(t.Context(), over.ID, func(i *faas.Invocation) error {
			i.ID, i.Function = "x", "y"
			i.Result = &faas.Result{Stored: true}
			i.Inner.LogStored = true
			return nil
		}))
		over.Result, over.Inner.LogStored = &faas.Result{Stored: true}, true
		if !reflect.DeepEqual(updated, over) || !reflect.DeepEqual(find(t, s, over.ID), over) {
			t.Errorf("updated %+v, want %+v", updated, over)
		}
	})
}

func TestExpiredInvocations(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s, at := srv.bare(t), now()
		short, long, named, running := newInvocation(t, "f", "tr", faas.Succeeded), newInvocation(t, "f", "tr", faas.Failed),
			newInvocation(t, "f", "tr", faas.Succeeded), newInvocation(t, "f", "tr", faas.Running)
		short.Inner.Retention = faas.Duration(time.Hour)
		expires := at.Add(2 * time.Hour)
		named.Result = &faas.Result{ExpiresAt: &expires}
		saveInvocation(t, s, short, long, named, running)
		due := func(after time.Duration, most int) []faas.InvocationID {
			var ids []faas.InvocationID
			for _, inv := range mustGet[[]*faas.Invocation](t)(s.ExpiredInvocations(t.Context(), at.Add(after), most)) {
				ids = append(ids, inv.ID)
			}
			return ids
		}
		for _, c := range []struct {
			after time.Duration
			most  int
			want  []faas.InvocationID
		}{
			{30 * time.Minute, 10, nil},
			{90 * time.Minute, 10, []faas.InvocationID{short.ID}},
			{3 * time.Hour, 10, []faas.InvocationID{short.ID, named.ID}},
			{3 * time.Hour, 1, []faas.InvocationID{short.ID}},
			{1000 * time.Hour, 10, []faas.InvocationID{short.ID, named.ID, long.ID}},
		} {
			if got := due(c.after, c.most); !reflect.DeepEqual(got, c.want) {
				t.Errorf("after %v: %v, want %v", c.after, got, c.want)
			}
		}
		for _, inv := range []*faas.Invocation{short, long, named} {
			left := mustGet[time.Duration](t)(s.client.PTTL(t.Context(), s.keys.invocation(inv.ID)).Result())
			if left < sweepWithin || left > 3*sweepWithin {
				t.Errorf("Redis drops %s in %v", inv.ID, left)
			}
		}
		must(t, s.client.Del(t.Context(), s.keys.invocation(short.ID)).Err()) // as Redis does if no gateway deletes it
		if got := due(90*time.Minute, 10); !reflect.DeepEqual(got, []faas.InvocationID{short.ID}) {
			t.Errorf("an invocation that Redis has deleted: %v", got)
		}
		wantCounts(t, s, counts{All: 4, Final: 3, Running: 1})
		wantKind(t, s.DeleteInvocation(t.Context(), running.ID, time.Time{}), faas.Conflict)
		for _, inv := range []*faas.Invocation{short, long, named} {
			must(t, s.DeleteInvocation(t.Context(), inv.ID, time.Time{}))
			must(t, s.DeleteInvocation(t.Context(), inv.ID, time.Time{}))
		}
		if got := due(1000*time.Hour, 10); got != nil {
			t.Errorf("deleted, and yet %v", got)
		}
		must(t, s.DeleteInvocation(t.Context(), short.ID, at.Add(2*time.Hour)))
		if got, later := due(time.Hour, 10), due(3*time.Hour, 10); got != nil || !reflect.DeepEqual(later, []faas.InvocationID{short.ID}) {
			t.Errorf("to be returned again: %v, later %v", got, later)
		}
		must(t, s.DeleteInvocation(t.Context(), short.ID, time.Time{}))
		if got := due(1000*time.Hour, 10); got != nil {
			t.Errorf("returned again and deleted, and yet %v", got)
		}
		items, _, err := s.ListInvocations(t.Context(), faas.InvocationFilter{})
		must(t, err)
		if len(items) != 1 || items[0].ID != running.ID {
			t.Errorf("left: %+v", items)
		}
		wantCounts(t, s, counts{All: 1, Running: 1})
	})
}

// A record that is settled long after its end expires at once, but Redis does not delete it before it can be read.
func TestALateRecordIsNotDroppedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		inv := newInvocation(t, "f", "tr", faas.Succeeded)
		long := now().Add(-1000 * time.Hour)
		inv.EndedAt = &long
		saveInvocation(t, s, inv)
		find(t, s, inv.ID)
		if due := mustGet[[]*faas.Invocation](t)(s.ExpiredInvocations(t.Context(), now(), 10)); len(due) != 1 {
			t.Errorf("due: %+v", due)
		}
	})
}
