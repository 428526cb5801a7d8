package work

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

func TestManyCallsInManySlots(t *testing.T) {
	const slots, each = 4, 10
	w := newWorker(t, func(l *task.Launch, _ *Options) { l.Slots = slots })
	events := watch(t, w)
	defer func() {
		for _, e := range events() {
			if e.Kind == task.EventDraining {
				t.Errorf("drains: %s", e.Detail)
			}
		}
	}()
	var all sync.WaitGroup
	for i := range slots {
		all.Go(func() {
			for j := range each {
				text := fmt.Sprintf("call %d %d", i, j)
				tk := newTask(t, `printf %s "$DAVIT_FIELD_Q" > out; (setsid sleep 300 &); ls -A; ls -A "$HOME"`, func(tk *task.Task) {
					tk.Request.Query = "q=" + strings.ReplaceAll(text, " ", "+")
					tk.Results = []string{"out"}
				})
				if d := call(t, w, tk, "body"); d.Reason != "" || d.files(t)["out"] != text || d.log != "args.sh\nbody\ndata\nout\nrun.sh\n" {
					t.Errorf("%s: %+v %q", text, d.Outcome, d.log)
				}
			}
		})
	}
	all.Wait()
	testenv.Eventually(t, "all to be free", func() bool { return w.Free() == slots && len(w.Owned()) == 0 })
}

func TestTakeWaitsForASlotThatIsBeingCleaned(t *testing.T) {
	w := newWorker(t, nil)
	for range 20 {
		if d := call(t, w, newTask(t, "i=0; while [ $i -lt 300 ]; do : > f$i; i=$((i+1)); done", nil), ""); d.Reason != "" {
			t.Fatalf("%+v", d.Outcome)
		}
	}
}

func TestTakeDoesNotWaitForARunningCommand(t *testing.T) {
	w := newWorker(t, nil)
	c := start(t, w, newTask(t, "echo running; sleep 300", nil), "")
	follow(t, c, "running")
	testenv.Returns(t, cleaningWait/2, "Take", func() {
		if _, err := w.Take("another"); !errors.Is(err, ErrBusy) {
			t.Errorf("taken: %v", err)
		}
	})
	if _, held := w.Find("another"); held {
		t.Fatal("it is held")
	}
	if found, held := w.Find(c.id); !held || found != c {
		t.Fatal("the running one is not found")
	}
	c.Cancel()
	finish(t, c)
}

func TestCloseEndsEverything(t *testing.T) {
	w := newWorker(t, func(l *task.Launch, o *Options) {
		startWith("trap '' TERM; while :; do sleep 1; done", nil)(l, o)
		l.Slots = 3
	})
	c := start(t, w, newTask(t, "trap '' TERM; (setsid sleep 300 &); echo running; while :; do sleep 1; done", nil), "")
	follow(t, c, "running")
	if _, err := w.Take("taken"); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	s.setRefuse(func(*http.Request) int { return http.StatusServiceUnavailable })
	stuck := start(t, w, newTask(t, "true", func(tk *task.Task) { tk.Put, tk.Keep = s.puts(), faas.KeepAll }), "")
	if _, err := stuck.Answer(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Returns(t, 5*time.Second, "Close", func() {
		must(t, w.Close())
		must(t, w.Close())
	})
	if _, err := c.Answer(t.Context()); err == nil {
		t.Fatal("an answer after the end")
	}
	if _, err := w.Take("late"); !errors.Is(err, ErrBusy) {
		t.Fatalf("late: %v", err)
	}
	<-w.Done()
}

func TestAnOutcomeThatNobodyAcknowledgesIsHeld(t *testing.T) {
	w := newWorker(t, nil)
	c := start(t, w, newTask(t, "exit 5", nil), "")
	c.Ack() // too early
	if _, err := c.Answer(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the slot", func() bool { return w.Free() == 1 })
	if d := call(t, w, newTask(t, "true", nil), ""); d.Reason != "" {
		t.Fatalf("%+v", d.Outcome)
	}
	testenv.Eventually(t, "the other to be forgotten", func() bool { return len(w.Owned()) == 1 })
	held := w.Owned()
	if !held[0].Ended || *held[0].Outcome.ExitCode != 5 || held[0].Record.ID != c.id {
		t.Fatalf("held %+v", held)
	}
	c.expire() // as after a while
	if len(w.Owned()) != 0 {
		t.Fatal("still held")
	}
}

func TestLogIsCapped(t *testing.T) {
	w := newWorker(t, nil)
	d := call(t, w, newTask(t, "head -c 3000000 /dev/zero | tr '\\0' x", func(tk *task.Task) { tk.MaxLog, tk.Results = 1<<20, []string{"entry*", "*.sh"} }), "")
	if d.Reason != faas.ReasonResultMissing || !strings.HasSuffix(d.log, "the log is cut here, after 1048576 bytes]\n") || len(d.log) > 1<<20+100 {
		t.Fatalf("%s, log of %d bytes", d.Reason, len(d.log))
	}
}

// TestAZipThatFailsIsNeverWhole checks the answer when zipping fails after the answer has begun, because two files have
// the same name.
func TestAZipThatFailsIsNeverWhole(t *testing.T) {
	w := newWorker(t, nil)
	shell := `head -c 100000 /dev/urandom > "$(printf 'a\nb')"; head -c 100000 /dev/urandom > a%0Ab`
	c := start(t, w, newTask(t, shell, func(tk *task.Task) { tk.Results = []string{"a*b"} }), "")
	a, err := c.Answer(t.Context())
	must(t, err)
	if a.Outcome.Reason == "" {
		if n, err := io.Copy(io.Discard, a.Body); err == nil {
			t.Fatalf("%d bytes and no error", n)
		}
		must(t, a.Body.Close())
	}
	testenv.Eventually(t, "the outcome to be complete", func() bool { return c.held().Ended })
	d := finish(t, c)
	if d.Reason != faas.ReasonResultMissing || d.Result != nil || !strings.Contains(d.Detail, "one name") {
		t.Fatalf("%+v", d.Outcome)
	}
}
