package work

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/command"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(playRole(role))
	}
	if err := command.Harden(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newWorker returns a warm worker of one slot with a source of its own, unless change says otherwise.
func newWorker(t testing.TB, change func(l *task.Launch, o *Options)) *Worker {
	t.Helper()
	source := t.TempDir()
	for name, text := range map[string]string{
		"run.sh":       "#!/bin/sh\nexec sh -c \"$@\"\n",
		"args.sh":      "#!/bin/sh\nfor a in \"$@\"; do printf '[%s]' \"$a\"; done\n",
		"data/base.in": "base",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(source, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(source, name), []byte(text), 0o755))
	}
	launch := task.Launch{
		Runner: "runner-1", Function: "f", Revision: 3, Start: faas.StartWarm, Slots: 1, Dir: t.TempDir(), SourceDir: source,
		Env: map[string]string{"GREETING": "hello world"},
	}
	options := Options{Grace: time.Second}
	if change != nil {
		change(&launch, &options)
	}
	w, err := New(launch, options)
	must(t, err)
	t.Cleanup(func() {
		must(t, w.Close())
		if left, _ := os.ReadDir(launch.Dir); len(left) > 0 {
			t.Errorf("left in the folder: %v", left)
		}
		if w.host.Dirty() {
			t.Error("the host is dirty")
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return w
}

func newTask(t testing.TB, shell string, change func(*task.Task)) *task.Task {
	t.Helper()
	id, err := faas.NewInvocationID()
	must(t, err)
	tk := &task.Task{
		Record:  faas.Invocation{ID: id, Function: "f", Revision: 3, Trigger: "t", State: faas.Starting, Attempt: 1, CreatedAt: time.Now()},
		Command: []string{"sh", "-c", shell}, ArgumentStyle: faas.Placeholders, Response: faas.ResponseZip,
		Timeout: faas.Duration(30 * time.Second), MaxBody: faas.GiB, Keep: faas.KeepNone,
		Request: task.Request{Method: "POST", Path: "/p"},
	}
	if change != nil {
		change(tk)
	}
	return tk
}

// start takes a slot and has the task accepted.
func start(t testing.TB, w *Worker, tk *task.Task, body string) *Call {
	t.Helper()
	call, err := w.Take(tk.Record.ID)
	must(t, err)
	must(t, call.Accept(t.Context(), wire(t, tk, body)))
	return call
}

func wire(t testing.TB, tk *task.Task, body string) io.Reader {
	t.Helper()
	b, err := task.EncodeTask(tk)
	must(t, err)
	return io.MultiReader(bytes.NewReader(b), strings.NewReader(body))
}

// done is the outcome and the answer of a call.
type done struct {
	task.Outcome
	kind, filename string
	body           []byte
	log            string
}

// finish reads a call's answer and its log, checks what is the same for all calls, and acknowledges the call.
func finish(t testing.TB, c *Call) done {
	t.Helper()
	a, err := c.Answer(t.Context())
	must(t, err)
	d := done{Outcome: a.Outcome, kind: a.Kind, filename: a.Filename}
	if (a.Body == nil) != (a.Outcome.Reason != "") {
		t.Fatalf("reason %q with body %v", a.Outcome.Reason, a.Body != nil)
	}
	if a.Body != nil {
		d.body, err = io.ReadAll(a.Body)
		must(t, err)
		sum := sha256.Sum256(d.body)
		size, hexSum := a.Body.Sum()
		if size != int64(len(d.body)) || hexSum != hex.EncodeToString(sum[:]) {
			t.Fatalf("the body has %d bytes, its sum says %d", len(d.body), size)
		}
		must(t, a.Body.Close())
	}
	r, err := c.Log(t.Context(), 0, true)
	must(t, err)
	log, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	d.log = string(log)
	if d.LogSize != int64(len(log)) || d.Runner != "runner-1" || d.EndedAt.IsZero() {
		t.Fatalf("outcome %+v with a log of %d bytes", d.Outcome, len(log))
	}
	testenv.Eventually(t, "the outcome to be complete", func() bool { return c.held().Ended })
	c.Ack()
	return d
}

func call(t testing.TB, w *Worker, tk *task.Task, body string) done {
	t.Helper()
	return finish(t, start(t, w, tk, body))
}

// files lists a zip.
func (d *done) files(t testing.TB) map[string]string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(d.body), int64(len(d.body)))
	must(t, err)
	out := map[string]string{}
	for _, f := range r.File {
		in, err := f.Open()
		must(t, err)
		b, err := io.ReadAll(in)
		must(t, err)
		out[f.Name] = string(b)
	}
	return out
}

func multipart(parts ...[3]string) (contentType, body string) {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--XX\r\nContent-Disposition: form-data; name=\"" + p[0] + "\"")
		if p[1] != "" {
			b.WriteString("; filename=\"" + p[1] + "\"")
		}
		b.WriteString("\r\n\r\n" + p[2] + "\r\n")
	}
	return "multipart/form-data; boundary=XX", b.String() + "--XX--\r\n"
}

// cut is a body that breaks off.
type cut struct{ err error }

func (c cut) Read([]byte) (int, error) { return 0, c.err }

func TestNothingRunsWithoutAWholeBody(t *testing.T) {
	w := newWorker(t, nil)
	contentType, body := multipart([3]string{"f", "a", strings.Repeat("x", 200_000)})
	ran := filepath.Join(t.TempDir(), "ran")
	tk := newTask(t, "touch "+ran, func(tk *task.Task) { tk.Request.ContentType, tk.MaxBody = contentType, 300_000 })
	whole, err := task.EncodeTask(tk)
	must(t, err)
	whole = append(whole, body...)
	broken := errors.New("broken")
	for _, n := range []int{0, 2, 4, 100, len(whole) - len(body), len(whole) - len(body) + 10, len(whole) - 100_000, len(whole) - 1, len(whole)} {
		c, err := w.Take(tk.Record.ID)
		must(t, err)
		if _, err := w.Take(tk.Record.ID); !errors.Is(err, ErrBusy) {
			t.Fatalf("a second Take: %v", err)
		}
		err = c.Accept(t.Context(), io.MultiReader(bytes.NewReader(whole[:n]), cut{broken}))
		if !errors.Is(err, broken) {
			t.Fatalf("cut after %d of %d bytes: %v", n, len(whole), err)
		}
		if w.Free() != 1 || len(w.Owned()) != 0 {
			t.Fatalf("after the cut: %d free, %d held", w.Free(), len(w.Owned()))
		}
	}
	tests := map[string]struct {
		change func(*task.Task)
		body   io.Reader
		want   error
	}{
		"too large":       {func(tk *task.Task) { tk.MaxBody = 1000 }, strings.NewReader(body), ErrTooLarge},
		"input after URL": {func(tk *task.Task) { tk.InputURL = "http://127.0.0.1:1/" }, strings.NewReader("x"), nil},
		"another's task":  {func(tk *task.Task) { tk.Record.ID = "another" }, strings.NewReader(body), nil},
		"no task":         {func(tk *task.Task) { tk.Record.ID = "another" }, nil, nil},
	}
	for name, test := range tests {
		other := newTask(t, "touch "+ran, test.change)
		c, err := w.Take("an-id")
		if other.Record.ID != "another" {
			c.Abandon()
			c.Abandon()
			c, err = w.Take(other.Record.ID)
		}
		must(t, err)
		from := io.Reader(strings.NewReader("\x00\x00\x00\x02no"))
		if test.body != nil {
			from = io.MultiReader(wire(t, other, ""), test.body)
		}
		if err := c.Accept(t.Context(), from); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(ran); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("a command ran")
	}
	if d := call(t, w, newTask(t, "ls; ls "+w.scratch, nil), ""); d.files(t)["stdout"] != "args.sh\ndata\nrun.sh\n" {
		t.Fatalf("left: %q", d.files(t)["stdout"])
	}
}

func TestExactSizeOfBodyIsAllowed(t *testing.T) {
	w := newWorker(t, nil)
	d := call(t, w, newTask(t, "wc -c < body", func(tk *task.Task) { tk.MaxBody = 100_000 }), strings.Repeat("x", 100_000))
	if d.files(t)["stdout"] != "100000\n" {
		t.Fatalf("%+v %v", d.Outcome, d.files(t))
	}
}

func TestSingleUse(t *testing.T) {
	for _, how := range []faas.Start{faas.StartJob, faas.StartStandby} {
		w := newWorker(t, func(l *task.Launch, _ *Options) {
			l.Start = how
			if how == faas.StartJob {
				l.Invocation = "mine"
			}
		})
		tk := newTask(t, "true", func(tk *task.Task) { tk.Record.ID = "mine" })
		if how == faas.StartJob {
			if _, err := w.Take("other"); !errors.Is(err, ErrBusy) {
				t.Fatalf("another's: %v", err)
			}
		}
		c, err := w.Take("mine")
		must(t, err)
		c.Abandon()
		c = start(t, w, tk, "")
		if w.Free() != 0 {
			t.Fatal("free after the one task")
		}
		a, err := c.Answer(t.Context())
		must(t, err)
		testenv.Eventually(t, "the end", func() bool { return c.held().Ended })
		if _, err := w.Take("third"); !errors.Is(err, ErrBusy) {
			t.Fatalf("a second task: %v", err)
		}
		c.Ack()
		select {
		case <-w.Done():
			t.Fatal("done while the answer is being read")
		default:
		}
		must(t, a.Body.Close())
		<-w.Done()
	}
}

func TestDrainAndLimits(t *testing.T) {
	w := newWorker(t, func(l *task.Launch, _ *Options) { l.MaxCalls = 2 })
	call(t, w, newTask(t, "true", nil), "")
	testenv.Eventually(t, "the slot", func() bool { return w.Free() == 1 })
	call(t, w, newTask(t, "true", nil), "")
	<-w.Done()
	if w.Free() != 0 {
		t.Fatal("free after max_calls")
	}
	w2 := newWorkerAfter(t, w, func(l *task.Launch, _ *Options) { l.MaxAge = faas.Duration(50 * time.Millisecond) })
	<-w2.Done()
	w3 := newWorkerAfter(t, w2, nil)
	c := start(t, w3, newTask(t, "sleep 0.2", nil), "")
	w3.Drain("test")
	w3.Drain("test")
	select {
	case <-w3.Done():
		t.Fatal("done while a call runs")
	default:
	}
	if d := finish(t, c); d.Reason != "" {
		t.Fatalf("%+v", d.Outcome)
	}
	<-w3.Done()
}

// newWorkerAfter closes a worker before it makes the next: there is one host in a process.
func newWorkerAfter(t *testing.T, w *Worker, change func(l *task.Launch, o *Options)) *Worker {
	t.Helper()
	must(t, w.Close())
	return newWorker(t, change)
}

func TestCancel(t *testing.T) {
	w := newWorker(t, nil)
	c := start(t, w, newTask(t, "echo ready; sleep 300", nil), "")
	follow(t, c, "ready")
	c.Cancel()
	c.Cancel()
	d := finish(t, c)
	if d.Reason != faas.ReasonCancelled || d.Signal == nil || *d.Signal != "SIGTERM" {
		t.Fatalf("%+v", d.Outcome)
	}
	c = start(t, w, newTask(t, "true", nil), "")
	if _, err := c.Answer(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Cancel()
	if d := finish(t, c); d.Reason != "" {
		t.Fatalf("cancelled after its end: %+v", d.Outcome)
	}
}

// follow reads the log until it contains text.
func follow(t *testing.T, c *Call, text string) {
	t.Helper()
	r, err := c.Log(t.Context(), 0, true)
	must(t, err)
	defer func() { must(t, r.Close()) }()
	var got []byte
	for buf := make([]byte, 100); !strings.Contains(string(got), text); {
		n, err := r.Read(buf)
		must(t, err)
		got = append(got, buf[:n]...)
	}
}

func TestLogIsFollowedFromAnywhere(t *testing.T) {
	w := newWorker(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	c := start(t, w, newTask(t, "echo one; while ! [ -e "+gate+" ]; do sleep 0.01; done; echo two >&2", nil), "")
	follow(t, c, "one\n")
	now, err := c.Log(t.Context(), 1, false)
	must(t, err)
	if b, err := io.ReadAll(now); err != nil || string(b) != "ne\n" {
		t.Fatalf("without following: %q, %v", b, err)
	}
	must(t, now.Close())
	var readers sync.WaitGroup
	for from, want := range map[int64]string{0: "one\ntwo\n", 3: "\ntwo\n", 100: "", -5: "one\ntwo\n"} {
		r, err := c.Log(t.Context(), from, true)
		must(t, err)
		readers.Go(func() {
			b, err := io.ReadAll(r)
			if err != nil || string(b) != want {
				t.Errorf("from %d: %q, %v", from, b, err)
			}
			_ = r.Close()
		})
	}
	must(t, os.WriteFile(gate, nil, 0o600))
	readers.Wait()
	finish(t, c)
}
