package work

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"davit/gateway/faas"
	"davit/internal/task"
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

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("waited in vain for %s", what)
		}
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

// done is what came of a call.
type done struct {
	task.Outcome
	kind, filename string
	body           []byte
	log            string
}

// finish reads a call's answer and its log, checks what must always hold, and acknowledges it.
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
	eventually(t, "the outcome to be complete", func() bool { return c.held().Ended })
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

func TestOneCall(t *testing.T) {
	w := newWorker(t, nil)
	contentType, body := multipart([3]string{"photo", "my cat.png", "pixels"}, [3]string{"size", "", "20 0"}, [3]string{"dash", "-rf", "x"})
	tk := newTask(t, "", func(tk *task.Task) {
		tk.Command = []string{"./run.sh", `./args.sh "$@" >args.out; cat "$DAVIT_REQUEST" > request.out; env | sort > env.out; pwd -P; cp "$1" out/copy; ls -1 > ls.out`, "x", "{file:photo}", "{fields}", "--", "{file:dash}"}
		tk.Command[1] = "mkdir out; " + tk.Command[1]
		tk.Results = []string{"*.out", "out/**", "my cat.png"}
		tk.Request = task.Request{
			Method: "POST", Path: "/p/1", Query: "q=a+b", PathFields: [][2]string{{"id", "1"}}, ContentType: contentType,
			Headers: [][2]string{{"X-A", "1"}}, Traceparent: "00-abc",
		}
	})
	d := call(t, w, tk, body)
	if d.Reason != "" || d.ExitCode == nil || *d.ExitCode != 0 || d.kind != "zip" {
		t.Fatalf("%+v\n%s", d.Outcome, d.log)
	}
	files := d.files(t)
	want := map[string]string{
		"args.out": "[my cat.png][1][a b][20 0][--][./-rf]", "out/copy": "pixels", "my cat.png": "pixels",
		"ls.out": "-rf\nargs.out\nargs.sh\ndata\nenv.out\nls.out\nmy cat.png\nout\nrequest.out\nrun.sh\n",
	}
	for name, text := range want {
		if files[name] != text {
			t.Errorf("%s is %q, want %q", name, files[name], text)
		}
	}
	for _, line := range []string{
		"DAVIT_FIELD_ID=1", "DAVIT_FIELD_Q=a b", "DAVIT_FIELD_SIZE=20 0", "DAVIT_FUNCTION=f", "DAVIT_REVISION=3", "DAVIT_TRIGGER=t", "DAVIT_ATTEMPT=1",
		"DAVIT_INVOCATION_ID=" + string(tk.Record.ID), "GREETING=hello world", "TRACEPARENT=00-abc",
	} {
		if !strings.Contains(files["env.out"], line+"\n") {
			t.Errorf("the environment lacks %s", line)
		}
	}
	for _, line := range strings.Split(files["env.out"], "\n") {
		name, _, _ := strings.Cut(line, "=")
		switch {
		case name == "", name == "PATH", name == "HOME", name == "TMPDIR", name == "PWD", name == "OLDPWD", name == "_", name == "SHLVL":
		case strings.HasPrefix(name, "DAVIT_"), name == "GREETING", name == "TRACEPARENT":
		default:
			t.Errorf("the environment has %s", name)
		}
	}
	if !strings.Contains(files["request.out"], `"x-a":["1"]`) || !strings.Contains(files["request.out"], `"size":["20 0"]`) {
		t.Errorf("request: %s", files["request.out"])
	}
	sum := sha256.Sum256([]byte(body))
	if d.Input.Size != int64(len(body)) || d.Input.SHA256 != hex.EncodeToString(sum[:]) || d.Result.FileCount != 6 || len(d.Result.Files) != 6 {
		t.Errorf("input %+v, result %+v", d.Input, d.Result)
	}
	if d.StartedAt == nil || d.Phases.Run <= 0 || d.EndedAt.Before(*d.StartedAt) {
		t.Errorf("times %+v", d.Outcome)
	}
	eventually(t, "the call to be forgotten", func() bool { return len(w.Held()) == 0 && w.Free() == 1 })
}

func TestOutcomes(t *testing.T) {
	w := newWorker(t, nil)
	formType, formBody := multipart([3]string{"f", "run.sh", "x"})
	cutType, cutBody := multipart([3]string{"f", "a", "x"}, [3]string{"g", "b", "y"})
	twiceType, twiceBody := multipart([3]string{"f", "a", "x"}, [3]string{"g", "b/a", "y"})
	tests := []struct {
		name   string
		shell  string
		change func(*task.Task)
		body   string
		reason faas.Reason
		detail string
		exit   int // -1: none
		signal string
		log    string
	}{
		{name: "exit code", shell: "echo why >&2; exit 7", reason: faas.ReasonExitCode, exit: 7, log: "why\n"},
		{name: "not found", change: func(tk *task.Task) { tk.Command = []string{"nonsense"} }, reason: faas.ReasonExitCode, exit: 127, detail: "nonsense", log: "davit: nonsense: not found"},
		{name: "not executable", change: func(tk *task.Task) { tk.Command = []string{"./data/base.in/x"} }, reason: faas.ReasonExitCode, exit: 127},
		{name: "a folder", change: func(tk *task.Task) { tk.Command = []string{"./data"} }, reason: faas.ReasonExitCode, exit: 126},
		{name: "signal", shell: "kill -9 $$", reason: faas.ReasonSignal, detail: "SIGKILL", exit: -1, signal: "SIGKILL"},
		{name: "timeout", shell: "sleep 300", change: func(tk *task.Task) { tk.Timeout = faas.Duration(100 * time.Millisecond) }, reason: faas.ReasonTimedOut, detail: "100ms", exit: -1, signal: "SIGTERM"},
		{name: "missing", shell: "true", change: func(tk *task.Task) { tk.Results = []string{"*.png"} }, reason: faas.ReasonResultMissing, detail: `"*.png"`},
		{name: "too large", shell: "truncate -s 1T huge", change: func(tk *task.Task) { tk.Results, tk.MaxResult = []string{"huge"}, 1<<30 }, reason: faas.ReasonResultTooLarge, detail: `"huge"`},
		{name: "endless stdout", shell: "yes", change: func(tk *task.Task) { tk.MaxResult = 1 << 20 }, reason: faas.ReasonResultTooLarge, detail: "1048576", exit: -1, signal: "SIGKILL", log: "y\ny\n"},
		{name: "one file of two", shell: "touch a b", change: func(tk *task.Task) { tk.Results, tk.Response = []string{"[ab]"}, faas.ResponseFile }, reason: faas.ReasonResultMissing, detail: "2 match"},
		{name: "placeholder", change: func(tk *task.Task) { tk.Command = []string{"echo", "{field:x}"} }, reason: faas.ReasonInputInvalid, detail: `"x"`, exit: -1},
		{name: "bad query", change: func(tk *task.Task) { tk.Request.Query = "a=%zz" }, reason: faas.ReasonInputInvalid, detail: `"a"`, exit: -1},
		{name: "source entry", change: func(tk *task.Task) { tk.Request.ContentType = formType }, body: formBody, reason: faas.ReasonInputInvalid, detail: "source", exit: -1},
		{name: "two uploads", change: func(tk *task.Task) { tk.Request.ContentType = twiceType }, body: twiceBody, reason: faas.ReasonInputInvalid, detail: "two files", exit: -1},
		{name: "cut form", change: func(tk *task.Task) { tk.Request.ContentType = cutType }, body: cutBody[:len(cutBody)-8], reason: faas.ReasonInputInvalid, detail: "part 2", exit: -1},
		{name: "required", change: func(tk *task.Task) { tk.Fields = []faas.Field{{Name: "n", Kind: faas.FieldNumber, Required: true}} }, reason: faas.ReasonInputInvalid, detail: `"n"`, exit: -1},
		{name: "argument of 128 KiB", shell: "true", change: func(tk *task.Task) {
			tk.Command, tk.Request.ContentType = []string{"echo", "{field:a}"}, "application/x-www-form-urlencoded"
		}, body: "a=" + strings.Repeat("x", 128<<10), reason: faas.ReasonInputInvalid, detail: "send the value as a file", exit: -1},
		{name: "workspace removed", shell: "rm -rf ../work", change: func(tk *task.Task) { tk.Results = []string{"x"} }, reason: faas.ReasonResultMissing, detail: "working directory"},
		{name: "workspace replaced", shell: "cd ..; rm -rf work; ln -s /proc/$PPID work", change: func(tk *task.Task) { tk.Results = []string{"environ", "status"} }, reason: faas.ReasonResultMissing, detail: "working directory"},
		{name: "links", shell: "ln -s /proc/1/environ e; mkfifo f", change: func(tk *task.Task) { tk.Results = []string{"e", "f"} }, reason: faas.ReasonResultMissing, detail: "links are not followed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := call(t, w, newTask(t, test.shell, test.change), test.body)
			exit, signal := -1, ""
			if d.ExitCode != nil {
				exit = *d.ExitCode
			}
			if d.Signal != nil {
				signal = *d.Signal
			}
			if d.Reason != test.reason || !strings.Contains(d.Detail, test.detail) || exit != test.exit || signal != test.signal ||
				!strings.HasPrefix(d.log, test.log) || d.Result != nil {
				t.Fatalf("%+v exit %d signal %q log %.100q", d.Outcome, exit, signal, d.log)
			}
			if len(d.log) > 0 && d.LogTail != d.log[max(len(d.log)-task.LogTailBytes, 0):] {
				t.Fatalf("log tail %q", d.LogTail)
			}
			if exit < 0 && signal == "" && d.StartedAt != nil {
				t.Fatal("it was started")
			}
		})
	}
	d := call(t, w, newTask(t, "echo fine; ls -A; ls -A $HOME $TMPDIR | grep -v :", nil), "")
	if got := d.files(t)["stdout"]; !strings.HasPrefix(got, "fine\nargs.sh\ndata\nrun.sh\n") || strings.TrimSpace(got) != "fine\nargs.sh\ndata\nrun.sh" {
		t.Fatalf("after all of them a call sees %q", got)
	}
}

func TestFormsOfAnswers(t *testing.T) {
	w := newWorker(t, nil)
	large := strings.Repeat("large ", 100_000)
	tests := []struct {
		name, shell    string
		results        []string
		response       faas.Response
		keep           faas.Keep
		kind, filename string
		want           string            // of a file
		files          map[string]string // of a zip
	}{
		{name: "stdout zipped", shell: "printf out; printf err >&2", kind: "zip", files: map[string]string{"stdout": "out"}},
		{name: "nothing on stdout", shell: "true", kind: "zip", files: map[string]string{"stdout": ""}},
		{name: "stdout raw", shell: "printf out", response: faas.ResponseAuto, kind: "file", filename: "stdout", want: "out"},
		{name: "stdout raw, kept", shell: "printf out", response: faas.ResponseFile, keep: faas.KeepAll, kind: "file", filename: "stdout", want: "out"},
		{name: "large stdout", shell: "cat body", kind: "zip", files: map[string]string{"stdout": large}},
		{name: "large stdout raw", shell: "cat body", response: faas.ResponseFile, kind: "file", filename: "stdout", want: large},
		{name: "file", shell: "mkdir d; printf x > 'd/a b.png'", results: []string{"d/*"}, response: faas.ResponseFile, kind: "file", filename: "a b.png", want: "x"},
		{name: "large file", shell: "cp body out", results: []string{"out"}, response: faas.ResponseFile, kind: "file", filename: "out", want: large},
		{name: "file without rights", shell: "cp body out; chmod 0 out", results: []string{"out"}, response: faas.ResponseFile, kind: "file", filename: "out", want: large},
		{name: "auto of one", shell: "printf x > a", results: []string{"a"}, response: faas.ResponseAuto, kind: "file", filename: "a", want: "x"},
		{name: "auto of two", shell: "printf x > a; printf y > b", results: []string{"a", "b"}, response: faas.ResponseAuto, kind: "zip", files: map[string]string{"a": "x", "b": "y"}},
		{name: "odd name", shell: `printf x > "$(printf 'a\nb')"`, results: []string{"a*"}, response: faas.ResponseFile, kind: "file", filename: "a%0Ab", want: "x"},
		{name: "upload", shell: "true", results: []string{"body"}, kind: "zip", files: map[string]string{"body": large}},
		{name: "source copied", shell: "printf more >> data/base.in", results: []string{"data/**"}, kind: "zip", files: map[string]string{"data/base.in": "basemore"}},
		{name: "source untouched", shell: "cat data/base.in", kind: "zip", files: map[string]string{"stdout": "base"}},
		{name: "dev stdout", shell: "echo x > /dev/stdout; echo y > /dev/stderr", kind: "zip", files: map[string]string{"stdout": "x\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tk := newTask(t, test.shell, func(tk *task.Task) {
				tk.Results, tk.Keep = test.results, test.keep
				if test.response != "" {
					tk.Response = test.response
				}
			})
			c := start(t, w, tk, large)
			a, err := c.Answer(t.Context()) // a second reader of the same
			must(t, err)
			d := finish(t, c)
			if d.Reason != "" || d.kind != test.kind || d.filename != test.filename {
				t.Fatalf("%+v %q %q\n%s", d.Outcome, d.kind, d.filename, d.log)
			}
			if test.files == nil && string(d.body) != test.want {
				t.Fatalf("got %d bytes, want %d", len(d.body), len(test.want))
			}
			if test.files != nil && fmt.Sprint(d.files(t)) != fmt.Sprint(test.files) {
				t.Fatalf("got %.200v", d.files(t))
			}
			again, err := io.ReadAll(a.Body)
			if err != nil || !bytes.Equal(again, d.body) {
				t.Fatalf("the second reader got %d bytes, %v", len(again), err)
			}
			must(t, a.Body.Close())
			eventually(t, "the call to be forgotten", func() bool { return len(w.Held()) == 0 && w.Free() == 1 })
		})
	}
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
		if w.Free() != 1 || len(w.Held()) != 0 {
			t.Fatalf("after the cut: %d free, %d held", w.Free(), len(w.Held()))
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
		eventually(t, "the end", func() bool { return c.held().Ended })
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
	eventually(t, "the slot", func() bool { return w.Free() == 1 })
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

// follow reads the log until it holds text.
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

func TestEventsOfACall(t *testing.T) {
	w := newWorker(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan task.Event, 100)
	ended := make(chan error, 1)
	go func() { ended <- w.Events(ctx, func(e task.Event) error { events <- e; return nil }) }()
	first := <-events
	if first.Kind != task.EventSlots || first.Free != 1 {
		t.Fatalf("first %+v", first)
	}
	tk := newTask(t, "exit 3", nil)
	c, err := w.Take(tk.Record.ID)
	must(t, err)
	c.Abandon()
	d := call(t, w, tk, "")
	var kinds []string
	last := first.Seq
	for len(kinds) < 6 {
		e := <-events
		if e.Kind == task.EventSlots {
			continue
		}
		if e.Seq != last+1 {
			t.Errorf("event %d after %d", e.Seq, last)
		}
		last = e.Seq
		kinds = append(kinds, fmt.Sprintf("%s %d", e.Kind, e.Free))
		switch e.Kind {
		case task.EventRunning:
			if e.Record == nil || e.Record.State != faas.Running || e.Record.ID != tk.Record.ID || e.Record.Start != faas.StartWarm || e.Record.Inner.Runner != "runner-1" {
				t.Errorf("running: %+v", e.Record)
			}
		case task.EventEnded:
			if e.Outcome == nil || e.Outcome.Reason != d.Reason {
				t.Errorf("ended: %+v", e.Outcome)
			}
			w.Drain("because")
		case task.EventSlots, task.EventTaken, task.EventReleased, task.EventInputStored, task.EventStored, task.EventStartFailed, task.EventDraining:
		}
	}
	sort.Strings(kinds)
	if got := strings.Join(kinds, ", "); got != "draining 0, ended 1, released 1, running 0, taken 0, taken 0" {
		t.Fatalf("events %s", got)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("events ended with %v", err)
	}
}

func TestSlowReaderOfEventsIsDropped(t *testing.T) {
	w := newWorker(t, nil)
	told := make(chan struct{})
	ended := make(chan error)
	gate := make(chan struct{})
	go func() {
		ended <- w.Events(t.Context(), func(e task.Event) error {
			if e.Kind == task.EventSlots {
				close(told)
				<-gate
			}
			return nil
		})
	}()
	<-told
	for range maxBehind + 2 {
		w.tell(task.Event{Kind: task.EventTaken})
	}
	close(gate)
	if err := <-ended; !errors.Is(err, ErrSlow) {
		t.Fatalf("got %v", err)
	}
}
