package faas

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// wholeInvocation has every member set.
func wholeInvocation() *Invocation {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Invocation{
		ID: "01912d68-783e-7a0a-9d5c-6d0c5e5f3a11", Function: "f", Revision: 3, Trigger: "t", Mode: ModeWarm, Start: StartWarm, State: Failed,
		Reason: pointerTo(ReasonSignal), Detail: "d", ExitCode: pointerTo(1), Signal: pointerTo("SIGKILL"), Attempt: 1, CreatedAt: at,
		StartedAt: pointerTo(at), EndedAt: pointerTo(at), Phases: Phases{Run: Duration(time.Second)},
		Input: &Input{Size: 1, Stored: true}, Result: &Result{Size: 2, ExpiresAt: pointerTo(at), Files: []ResultFile{{Path: "a", Size: 1}}, FileCount: 1},
		RequestID: "r", Inner: &Inner{Keep: KeepAll, Gateway: "g", Task: []byte("x")},
	}
}

// sharesMemory reports whether a pointer, slice or map of a is b's, too.
func sharesMemory(a, b reflect.Value, path string) string {
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.IsNil() {
			return "nothing is set at " + path
		}
		if a.Pointer() == b.Pointer() {
			return path
		}
		if a.Kind() == reflect.Pointer {
			return sharesMemory(a.Elem(), b.Elem(), path)
		}
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() {
			return ""
		}
		for i := range a.NumField() {
			if shared := sharesMemory(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); shared != "" {
				return shared
			}
		}
	default:
	}
	return ""
}

func TestCloneSharesNothing(t *testing.T) {
	i := wholeInvocation()
	c := i.Clone()
	if !reflect.DeepEqual(c, i) {
		t.Errorf("the clone is %+v", c)
	}
	if shared := sharesMemory(reflect.ValueOf(i), reflect.ValueOf(c), ""); shared != "" {
		t.Errorf("shared: %s", shared)
	}
	if empty := (&Invocation{}).Clone(); !reflect.DeepEqual(empty, &Invocation{}) {
		t.Errorf("the clone of an empty record is %+v", empty)
	}
}

func TestInvocationSurvivesJSON(t *testing.T) {
	want := wholeInvocation()
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Invocation
	if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("%s is read as %+v, %v", b, got, err)
	}
}

func TestEnd(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cases := map[Reason]State{"": Succeeded, ReasonExitCode: Failed, ReasonCancelled: StateCancelled, ReasonExpired: Failed}
	for reason, want := range cases {
		i := &Invocation{State: Running}
		i.End(reason, "why", at)
		if i.State != want || !i.State.Final() || (i.Reason == nil) != (reason == "") || i.Reason != nil && *i.Reason != reason || !i.EndedAt.Equal(at) || i.Detail != "why" {
			t.Errorf("ended with %q: %+v", reason, i)
		}
	}
	for _, s := range []State{Queued, Starting, Running, ""} {
		if s.Final() {
			t.Errorf("%q is final", s)
		}
	}
}

func TestModes(t *testing.T) {
	modes := []Mode{"", ModeWarm, ModeStandby, ModeJob}
	for i, a := range modes {
		if a.Known() != (i > 0) {
			t.Errorf("%q is known: %v", a, a.Known())
		}
		for j, b := range modes {
			if a.StricterThan(b) != (i > j) {
				t.Errorf("%q is stricter than %q: %v", a, b, a.StricterThan(b))
			}
		}
	}
	if Mode("cold").Known() || Mode("cold").StricterThan(ModeWarm) {
		t.Error("an unknown mode is known")
	}
}

func TestReasons(t *testing.T) {
	reasons := []Reason{
		ReasonExitCode, ReasonSignal, ReasonOutOfMemory, ReasonResultMissing, ReasonResultTooLarge, ReasonStartFailed, ReasonTimedOut, ReasonInputInvalid,
		ReasonImagePull, ReasonUnschedulable, ReasonEvicted, ReasonNodeLost, ReasonRunnerLost, ReasonStoreUnavailable, ReasonExpired, ReasonCancelled,
	}
	for _, r := range reasons {
		if r.Kind() == Internal || r.Advice() == "" {
			t.Errorf("%s is %s: %q", r, r.Kind(), r.Advice())
		}
	}
	if r := Reason("bored"); r.Kind() != Internal || r.Advice() != "" {
		t.Errorf("an unknown reason is %s: %q", r.Kind(), r.Advice())
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("connection refused")
	err := fmt.Errorf("save function: %w", &Error{Kind: Unavailable, Detail: "Redis is away", Err: cause})
	if KindOf(err) != Unavailable || !errors.Is(err, cause) || err.Error() != "save function: Redis is away: connection refused" {
		t.Errorf("%v is %s", err, KindOf(err))
	}
	if KindOf(cause) != Internal || KindOf(nil) != Internal {
		t.Errorf("a foreign error is %s, none is %s", KindOf(cause), KindOf(nil))
	}
	if err := Errorf(NotFound, "no %q", "x"); err.Error() != `no "x"` || err.Kind != NotFound {
		t.Errorf("%v", err)
	}
}

func pointerTo[T any](v T) *T { return &v }
