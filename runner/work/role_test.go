package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/command"
	"davit/runner/confine"
)

// roleVariable makes this test program a runner of its own: hardened, confined, and without rights. Its tasks come as
// arguments and its answers go to stdout.
const roleVariable = "DAVIT_TEST_ROLE"

// script is what a runner of its own is to do.
type script struct {
	Launch task.Launch
	Steps  []step
}

// step is one call; its input is so many zeros, its result is only counted.
type step struct {
	Task  task.Task
	Input int64
}

// report is the outcome and the answer of a step.
type report struct {
	Outcome task.Outcome
	Stdout  []byte // at most 1 MiB of the answer
	Bytes   int64
	Log     string
	Peak    int64 // resident memory of the runner, bytes
}

func playRole(role string) int {
	var s script
	if err := json.Unmarshal([]byte(role), &s); err != nil {
		return complain(err)
	}
	if err := os.Unsetenv(roleVariable); err != nil {
		return complain(err)
	}
	if err := command.Harden(); err != nil {
		return complain(err)
	}
	level, err := confine.Apply(&s.Launch)
	if err != nil || !strings.HasPrefix(level, "landlock v") {
		return complain(fmt.Errorf("level %q: %w", level, err))
	}
	w, err := New(s.Launch, Options{Grace: time.Second})
	if err != nil {
		return complain(err)
	}
	for i := range s.Steps {
		r, err := s.Steps[i].play(w)
		if err != nil {
			return complain(errors.Join(err, w.Close()))
		}
		b, err := json.Marshal(r)
		if err != nil {
			return complain(err)
		}
		_, _ = fmt.Fprintln(os.Stdout, string(b))
	}
	if err := w.Close(); err != nil {
		return complain(err)
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (s *step) play(w *Worker) (*report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := w.Take(s.Task.Record.ID)
	if err != nil {
		return nil, err
	}
	head, err := task.EncodeTask(&s.Task)
	if err != nil {
		return nil, err
	}
	if err := c.Accept(ctx, io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros{}, s.Input))); err != nil {
		return nil, err
	}
	a, err := c.Answer(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{Outcome: a.Outcome}
	if a.Body != nil {
		var begin bytes.Buffer
		if _, err := io.CopyN(&begin, a.Body, 1<<20); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		rest, err := io.Copy(io.Discard, a.Body)
		if err != nil {
			return nil, err
		}
		r.Stdout, r.Bytes = begin.Bytes(), int64(begin.Len())+rest
		if err := a.Body.Close(); err != nil {
			return nil, err
		}
	}
	log, err := c.Log(ctx, 0, true)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(log, 1<<20))
	if err != nil {
		return nil, err
	}
	if err := log.Close(); err != nil {
		return nil, err
	}
	r.Log = string(b)
	if !testenv.Becomes(testenv.Patience, func() bool { return c.held().Ended }) {
		return nil, errors.New("the call does not end")
	}
	c.Ack()
	if w.launch.Start == faas.StartWarm && !testenv.Becomes(testenv.Patience, func() bool { return w.Free() > 0 }) {
		return nil, errors.New("the slot is not free again")
	}
	r.Peak, err = peak()
	return r, err
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func peak() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	kb, err := strconv.ParseInt(string(peakLine.FindSubmatch(b)[1]), 10, 64)
	return kb << 10, err
}

// play runs a script in a runner of its own, as uid 65532 if this process is root's.
func play(t *testing.T, s script) []report {
	t.Helper()
	base, err := os.MkdirTemp("/tmp", "davit-work-") //nolint:usetesting // another uid is to reach it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	must(t, os.Chmod(base, 0o755))
	s.Launch.Dir, s.Launch.SourceDir = filepath.Join(base, "run"), filepath.Join(base, "source")
	s.Launch.Landlock, s.Launch.Runner = true, "runner-1"
	s.Launch.Hide = []string{filepath.Join(base, "secret")}
	for _, dir := range []string{s.Launch.Dir, s.Launch.SourceDir, s.Launch.Hide[0]} {
		must(t, os.Mkdir(dir, 0o755))
	}
	must(t, os.WriteFile(filepath.Join(s.Launch.Hide[0], "file"), []byte("secret"), 0o644))
	must(t, os.WriteFile(filepath.Join(s.Launch.SourceDir, "entry"), []byte("entry"), 0o644))
	program := filepath.Join(base, "program")
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(program, self, 0o755))
	b, err := json.Marshal(s)
	must(t, err)
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = []string{roleVariable + "=" + string(b), "PATH=/usr/bin:/bin", "DAVIT_TOKEN=secret token"}
	if os.Geteuid() == 0 {
		must(t, os.Chown(s.Launch.Dir, 65532, 65532))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("the runner: %v\n%s", err, complaint.String())
	}
	if left, _ := os.ReadDir(s.Launch.Dir); len(left) > 0 {
		t.Errorf("the runner left %v", left)
	}
	var reports []report
	for line := range bytes.Lines(out.Bytes()) {
		var r report
		must(t, json.Unmarshal(line, &r))
		reports = append(reports, r)
	}
	if len(reports) != len(s.Steps) {
		t.Fatalf("%d reports of %d steps", len(reports), len(s.Steps))
	}
	return reports
}

// TestNextCallFindsEverythingAsNew runs, without rights and confined, commands that leave files, processes and broken
// folders, and after each of them a command that lists what is there.
func TestNextCallFindsEverythingAsNew(t *testing.T) {
	messes := map[string]string{
		"files everywhere":         "touch a .b $HOME/c $TMPDIR/d ../e; mkdir -p f/g; echo x > f/g/h",
		"folders without rights":   "mkdir -p a/b; touch a/b/c; chmod 0 a/b a; mkdir $HOME/x; chmod 0 $HOME/x",
		"all without rights":       "cd ..; chmod 0 work home tmp .",
		"workspace removed":        "rm -rf ../work",
		"everything removed":       "rm -rf ../../0",
		"workspace replaced":       "cd ..; rm -rf work; mkdir work; touch work/planted",
		"workspace is a link":      "cd ..; rm -rf work home; ln -s / work; ln -s /etc home",
		"links replaced":           "rm entry; ln -s /etc/passwd entry",
		"deep":                     "i=0; while [ $i -lt 3000 ]; do mkdir d && cd d || break; i=$((i+1)); done",
		"odd files":                "mkfifo fifo; ln -s /proc/self/environ env; ln -s loop loop",
		"many":                     "i=0; while [ $i -lt 2000 ]; do : > f$i; i=$((i+1)); done",
		"background":               "sleep 300 & (setsid sleep 300 &) ; (setsid env -i /bin/sleep 300 &)",
		"background that writes":   "(setsid sh -c 'while :; do date > planted-$(date +%N) 2>/dev/null; done' >/dev/null 2>&1 &)",
		"ignores SIGTERM":          "(trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &)",
		"stdout closed":            "exec >&- 2>&-; (setsid sleep 300 &)",
		"request removed":          "rm $DAVIT_REQUEST; mkdir $DAVIT_REQUEST",
		"request kept by a link":   "ln $DAVIT_REQUEST $DAVIT_SHARED/kept; rm -f $DAVIT_SHARED/kept; ln $DAVIT_REQUEST ../other",
		"directory of another":     "cd /; (sleep 300 &)",
		"environment in the shell": "export PLANTED=1; echo PLANTED=1 > $HOME/.profile",
	}
	const look = `find . -mindepth 1 | sort; readlink entry | sed 's/.*source/source/'; cat entry; find "$HOME" "$TMPDIR" -mindepth 1; ls -A ..
		echo "planted $PLANTED"; cat "$DAVIT_REQUEST" | head -c 10; stat -c %a . .. "$HOME" "$TMPDIR"; ps -o args= --ppid $PPID | grep -v "^sh -c"; true`
	var s script
	s.Launch.Start, s.Launch.Slots = faas.StartWarm, 1
	var names []string
	add := func(name, shell string) {
		s.Steps = append(s.Steps, step{Task: *newTask(t, shell, nil)})
		names = append(names, name)
	}
	add("first look", look)
	for name, mess := range messes {
		add(name, mess)
		add("after "+name, look)
	}
	reports := play(t, s)
	fresh := stdout(t, &reports[0])
	want := "./entry\nsource/entry\nentryhome\nrequest.json\ntmp\nwork\nplanted \n" + `{"method":` + "700\n700\n700\n700\n"
	if fresh != want {
		t.Fatalf("the first look: %q\nlog: %s", fresh, reports[0].Log)
	}
	for i := range reports {
		if !strings.HasPrefix(names[i], "after") {
			continue
		}
		if got := stdout(t, &reports[i]); got != fresh {
			t.Errorf("%s: %q\n%+v", names[i], got, reports[i].Outcome)
		}
	}
}

func stdout(t *testing.T, r *report) string {
	t.Helper()
	if r.Stdout == nil {
		return ""
	}
	return (&done{body: r.Stdout}).files(t)["stdout"]
}

// TestSecretsAreOutOfReach checks that commands cannot read the runner's secrets.
func TestSecretsAreOutOfReach(t *testing.T) {
	tries := map[string]string{
		"environment of the runner": "tr '\\0' '\\n' < /proc/$PPID/environ",
		"memory of the runner":      "cat /proc/$PPID/mem",
		"maps of the runner":        "cat /proc/$PPID/maps",
		"descriptors of the runner": "ls -l /proc/$PPID/fd/ | grep -c .; cat /proc/$PPID/fd/*",
		"working folder":            "ls -l /proc/$PPID/cwd/",
		"own environment":           "env | grep -i token",
		"hidden folder":             "cat ../../../../secret/file",
	}
	var s script
	s.Launch.Start, s.Launch.Slots = faas.StartWarm, 1
	var names []string
	for name, try := range tries {
		names = append(names, name)
		s.Steps = append(s.Steps, step{Task: *newTask(t, "("+try+") >out 2>/dev/null; s=$?; cat out; exit $s", nil)})
	}
	for i, r := range play(t, s) {
		if r.Outcome.Reason == "" || strings.Contains(r.Log, "secret") {
			t.Errorf("%s: %+v\n%s", names[i], r.Outcome, r.Log)
		}
	}
}

// TestLargeInputAndResultInFlatMemory checks the runner's memory while it moves 1 GiB. With the race detector, which
// needs memory itself, it moves less and allows more.
func TestLargeInputAndResultInFlatMemory(t *testing.T) {
	size, most := int64(1<<30), int64(64<<20)
	if raceEnabled {
		size, most = 128<<20, 1<<30
	}
	var s script
	s.Launch.Start, s.Launch.Slots = faas.StartWarm, 1
	for _, raw := range []bool{false, true} {
		tk := newTask(t, "mv body out.jpg", func(tk *task.Task) { // not compressed: the zip is as large
			tk.Results, tk.Timeout, tk.MaxBody = []string{"out.jpg"}, faas.Duration(5*time.Minute), 2*faas.GiB
			tk.Put.Input, tk.Put.Result = "http://127.0.0.1:1/i", "http://127.0.0.1:1/r"
			tk.Keep = faas.KeepFailed
			if raw {
				tk.Response = faas.ResponseFile
			}
		})
		s.Steps = append(s.Steps, step{Task: *tk, Input: size})
	}
	s.Steps = append(s.Steps, step{Task: *newTask(t, fmt.Sprintf("head -c %d /dev/zero", size), nil)})
	begun := time.Now()
	for i, r := range play(t, s) {
		if r.Outcome.Reason != "" || i < 2 && r.Bytes < size {
			t.Fatalf("step %d: %d bytes, %+v", i, r.Bytes, r.Outcome)
		}
		if i < 2 && r.Outcome.Input.Size != size {
			t.Errorf("step %d: input %+v", i, r.Outcome.Input)
		}
		if r.Peak > most {
			t.Errorf("step %d: the runner needed %d MiB", i, r.Peak>>20)
		}
		t.Logf("step %d: %d MiB, run %v, input %v, zip %v", i, r.Peak>>20, r.Outcome.Phases.Run, r.Outcome.Phases.Input, r.Outcome.Phases.Zip)
	}
	t.Logf("all in %v", time.Since(begun))
}
