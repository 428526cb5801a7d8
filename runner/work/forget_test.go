package work

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// sameOutcome checks that an outcome in the store is the one that an event reported.
func sameOutcome(t testing.TB, stored string, reported *task.Outcome) {
	t.Helper()
	var o task.Outcome
	must(t, json.Unmarshal([]byte(stored), &o))
	if fmt.Sprint(o.Reason, o.Result, o.Input, o.LogStored) != fmt.Sprint(reported.Reason, reported.Result, reported.Input, reported.LogStored) {
		t.Errorf("outcome.json %+v, reported %+v", o, reported)
	}
}

// TestOutcomeThatNobodyAcknowledges checks that the worker stores an outcome that no gateway acknowledges.
func TestOutcomeThatNobodyAcknowledges(t *testing.T) {
	w := newWorker(t, nil)
	s := newStore(t)
	events := watch(t, w)
	c := start(t, w, newTask(t, "true", func(tk *task.Task) { tk.Put, tk.Keep = s.puts(), faas.KeepAll }), "")
	a, err := c.Answer(t.Context())
	must(t, err)
	must(t, a.Body.Close())
	stored := await(t, events, task.EventStored)
	testenv.Eventually(t, "the outcome to be stored", func() bool { return s.names() == "/result /outcome" })
	text, _ := s.get("/outcome")
	sameOutcome(t, text, stored.Outcome)
	if held := w.Owned(); len(held) != 1 || !held[0].Uploaded {
		t.Errorf("held: %+v", held)
	}
	c.Ack()
	testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 })
}

// TestNotForgottenBeforeItsAnswerIsRead checks that a call that is acknowledged and stored at once is not forgotten
// before the gateway that posted it has read the answer.
func TestNotForgottenBeforeItsAnswerIsRead(t *testing.T) {
	w := newWorker(t, nil)
	c := start(t, w, newTask(t, "echo hi", func(tk *task.Task) { tk.Keep = faas.KeepNone }), "")
	testenv.Eventually(t, "the end", func() bool { return c.held().Uploaded })
	c.Ack()
	if len(w.Owned()) != 1 {
		t.Fatal("it is forgotten")
	}
	a, err := c.Answer(t.Context())
	must(t, err)
	b, err := io.ReadAll(a.Body)
	must(t, err)
	if d := (&done{body: b}); d.files(t)["stdout"] != "hi\n" {
		t.Errorf("%q", d.files(t))
	}
	if len(w.Owned()) != 1 {
		t.Fatal("it is forgotten while it is read")
	}
	must(t, a.Body.Close())
	testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 })
}
