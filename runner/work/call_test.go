package work

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

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
	testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 && w.Free() == 1 })
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
			testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 && w.Free() == 1 })
		})
	}
}
