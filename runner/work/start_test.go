package work

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

func touch(path string) error { return os.WriteFile(path, nil, 0o600) }

func startWith(shell string, ready *faas.Ready) func(*task.Launch, *Options) {
	return func(l *task.Launch, _ *Options) {
		l.StartProcess = &faas.StartProcess{Command: faas.Command{"sh", "-c"}, Arguments: faas.Command{shell}, Ready: ready}
	}
}

func TestCallsWaitForTheStartProcess(t *testing.T) {
	w := newWorker(t, startWith(`ls > $DAVIT_SHARED/seen; echo model > $DAVIT_SHARED/model; while ! [ -e $DAVIT_SHARED/go ]; do sleep 0.01; done; touch $DAVIT_SHARED/ready; sleep 300`, &faas.Ready{File: "ready"}))
	c := start(t, w, newTask(t, `cat $DAVIT_SHARED/model $DAVIT_SHARED/seen`, nil), "")
	testenv.Eventually(t, "the start process", func() bool { _, err := os.Stat(w.shared + "/model"); return err == nil })
	if c.held().Ended {
		t.Fatal("the call did not wait")
	}
	must(t, touch(w.shared+"/go"))
	if d := finish(t, c); d.files(t)["stdout"] != "model\nargs.sh\ndata\nrun.sh\n" {
		t.Fatalf("%+v %s", d.Outcome, d.log)
	}
	must(t, w.Ready(t.Context()))
}

func TestStartProcessIsReadyInItsWay(t *testing.T) {
	tests := map[string]func(*task.Launch, *Options){
		"at once":             startWith("sleep 300", nil),
		"set-up done":         startWith("echo done", &faas.Ready{File: "never"}),
		"leaves a background": startWith("sleep 300 & exit 0", &faas.Ready{File: "never"}),
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorker(t, change)
			must(t, w.Ready(t.Context()))
			for range 2 {
				if d := call(t, w, newTask(t, "(setsid sleep 300 &)", nil), ""); d.Reason != "" {
					t.Fatalf("%+v", d.Outcome)
				}
			}
			must(t, w.Close())
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	must(t, l.Close())
	w := newWorker(t, startWith("sleep 300", &faas.Ready{Port: port}))
	ready := make(chan error)
	go func() { ready <- w.Ready(t.Context()) }()
	if w.starter.answers() {
		t.Fatal("nobody listens, and its port answers")
	}
	select {
	case err := <-ready:
		t.Fatalf("ready before its port answers: %v", err)
	default:
	}
	l, err = net.Listen("tcp", l.Addr().String())
	must(t, err)
	must(t, <-ready)
	must(t, l.Close())
}

// TestStartFailureIsSentToLateReaders checks that a reader of events gets the failure of a start process that failed
// before.
func TestStartFailureIsSentToLateReaders(t *testing.T) {
	w := newWorker(t, startWith("echo why >&2; exit 7", &faas.Ready{File: "never"}))
	if err := w.Ready(t.Context()); err == nil {
		t.Fatal("it is ready")
	}
	enough := errors.New("enough")
	var got []task.Event
	err := w.Events(t.Context(), func(e task.Event) error {
		if got = append(got, e); len(got) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || got[0].Kind != task.EventSlots || got[1].Kind != task.EventStartFailed || got[1].LogTail != "why\n" {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestStartProcessThatFails(t *testing.T) {
	timeout := func(l *task.Launch, o *Options) {
		startWith("echo slow; sleep 300", &faas.Ready{File: "never"})(l, o)
		l.StartTimeout = faas.Duration(200 * time.Millisecond)
	}
	missing := func(l *task.Launch, _ *Options) {
		l.StartProcess = &faas.StartProcess{Command: faas.Command{"no-such-program"}}
	}
	tests := []struct {
		name, detail, log string
		change            func(*task.Launch, *Options)
	}{
		{"exits", "exit code 9", "broken\n", startWith("echo broken; exit 9", &faas.Ready{File: "never"})},
		{"killed", "SIGKILL", "", startWith("kill -9 $$", &faas.Ready{File: "never"})},
		{"not in time", "not ready within 200ms", "slow\n", timeout},
		{"not there", "no-such-program", "", missing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorker(t, func(l *task.Launch, o *Options) {
				test.change(l, o)
				if l.StartProcess.Ready == nil {
					l.StartProcess.Ready = &faas.Ready{File: "never"}
				}
			})
			c, err := w.Take("id")
			if err == nil {
				c.Abandon()
			}
			err = w.Ready(t.Context())
			failed, is := errors.AsType[*StartError](err)
			if !is || !strings.Contains(failed.Detail, test.detail) || failed.LogTail != test.log {
				t.Fatalf("%+v", err)
			}
			<-w.Done()
			must(t, w.Close())
		})
	}
}

func TestACallThatWaitsForAStartProcessThatFails(t *testing.T) {
	w := newWorker(t, startWith("while ! [ -e $DAVIT_SHARED/go ]; do sleep 0.01; done; echo why; exit 1", &faas.Ready{File: "never"}))
	events := watch(t, w)
	c := start(t, w, newTask(t, "true", nil), "")
	must(t, touch(w.shared+"/go"))
	d := finish(t, c)
	if d.Reason != faas.ReasonStartFailed || d.LogTail != "why\n" || d.StartedAt != nil {
		t.Fatalf("%+v", d.Outcome)
	}
	if e := await(t, events, task.EventStartFailed); e.LogTail != "why\n" || !strings.Contains(e.Detail, "exit code 1") {
		t.Fatalf("%+v", e)
	}
	await(t, events, task.EventDraining)
	<-w.Done()
}

func TestStartProcessThatCrashesLaterDrainsTheRunner(t *testing.T) {
	w := newWorker(t, startWith("touch $DAVIT_SHARED/ready; while ! [ -e $DAVIT_SHARED/crash ]; do sleep 0.01; done; exit 1", &faas.Ready{File: "ready"}))
	events := watch(t, w)
	must(t, w.Ready(t.Context()))
	c := start(t, w, newTask(t, "echo running; while ! [ -e $DAVIT_SHARED/end ]; do sleep 0.01; done", nil), "")
	follow(t, c, "running")
	must(t, touch(w.shared+"/crash"))
	await(t, events, task.EventStartFailed)
	await(t, events, task.EventDraining)
	must(t, touch(w.shared+"/end"))
	if d := finish(t, c); d.Reason != "" {
		t.Fatalf("%+v", d.Outcome)
	}
	<-w.Done()
}

// TestStartProcessThatCrashesUnderACallToCome checks that a runner whose start process has failed refuses a call that
// has not begun, so that another runner takes it. A runner that was launched for that call reports the failure as its
// outcome.
func TestStartProcessThatCrashesUnderACallToCome(t *testing.T) {
	for name, test := range map[string]struct {
		start   faas.Start
		refused bool
	}{"warm": {faas.StartWarm, true}, "standby": {faas.StartStandby, true}, "job": {faas.StartJob, false}} {
		t.Run(name, func(t *testing.T) {
			tk := newTask(t, "true", nil)
			w := newWorker(t, func(l *task.Launch, o *Options) {
				startWith("touch $DAVIT_SHARED/ready; while ! [ -e $DAVIT_SHARED/crash ]; do sleep 0.01; done; exit 1", &faas.Ready{File: "ready"})(l, o)
				l.Start = test.start
				if test.start == faas.StartJob {
					l.Invocation = tk.Record.ID
				}
			})
			events := watch(t, w)
			must(t, w.Ready(t.Context()))
			c, err := w.Take(tk.Record.ID)
			must(t, err)
			must(t, touch(w.shared+"/crash"))
			await(t, events, task.EventStartFailed)
			err = c.Accept(t.Context(), wire(t, tk, ""))
			if _, is := errors.AsType[*StartError](err); is != test.refused || err != nil && !is {
				t.Fatalf("accepted: %v", err)
			}
			if test.refused {
				await(t, events, task.EventReleased)
			} else if d := finish(t, c); d.Reason != faas.ReasonStartFailed {
				t.Fatalf("%+v", d.Outcome)
			}
			<-w.Done()
		})
	}
}
