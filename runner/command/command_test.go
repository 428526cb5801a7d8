package command

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"davit/internal/testenv"
)

func TestMain(m *testing.M) {
	if err := Harden(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func newHost(t testing.TB, o Options) *Host {
	t.Helper()
	h, err := NewHost(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if h.Dirty() {
			t.Error("the host is dirty")
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if left := h.orphans(); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	})
	return h
}

// buffer is a writer that others read meanwhile.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const mark = markName + "test"

func shell(dir, script string, log *buffer) Spec {
	return Spec{
		Argv: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin", mark, "X=y z"},
		Dir: dir, Log: log, Mark: mark,
	}
}

func alive(pid int) bool {
	st, ok := readStat(pid)
	return ok && st.state != 'Z'
}

// pids reads the process ids in a file.
func pids(t testing.TB, file string) []int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parsePids(b)
}

func TestHowCommandsEnd(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "plain"), []byte("echo hi\n"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "garbage"), []byte("\x01\x02\x03"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "lost"), []byte("#!/no/such/interpreter\n"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "good"), []byte("#!/bin/sh\necho \"good $1\"\n"), 0o755))
	tests := []struct {
		argv   []string
		exit   int
		signal string
		detail string
		log    string
	}{
		{argv: []string{"sh", "-c", "echo out; echo err >&2; echo again"}, log: "out\nerr\nagain\n"},
		{argv: []string{"sh", "-c", "exit 3"}, exit: 3},
		{argv: []string{"sh", "-c", "kill -9 $$"}, exit: 137, signal: "SIGKILL"},
		{argv: []string{"sh", "-c", "kill -SEGV $$"}, exit: 139, signal: "SIGSEGV"},
		{argv: []string{"./good", "$(x) `y` \n --"}, log: "good $(x) `y` \n --\n"},
		{argv: []string{"sh", "-c", `printf %s "$X"; pwd; cat`}, log: "y z" + dir + "\n"},
		{argv: []string{"no-such-program"}, exit: 127, detail: "no-such-program: not found in PATH"},
		{argv: []string{"./no-such-file"}, exit: 127, detail: "not found"},
		{argv: []string{"plain/x"}, exit: 127, detail: "not found"},
		{argv: []string{"./plain"}, exit: 126, detail: "not executable"},
		{argv: []string{"./garbage"}, exit: 126, detail: "not a program"},
		{argv: []string{"./lost"}, exit: 127, detail: "interpreter"},
		{argv: []string{"/"}, exit: 126, detail: "not executable"},
		{argv: []string{""}, exit: 127, detail: "empty"},
		{argv: nil, exit: 127, detail: "empty"},
		{argv: []string{"echo", strings.Repeat("x", 200_000)}, exit: 126, detail: "more than the system takes"},
	}
	h := newHost(t, Options{})
	for _, test := range tests {
		var log buffer
		spec := shell(dir, "", &log)
		spec.Argv = test.argv
		end := h.New(spec).Run()
		detail := ""
		if end.Err != nil {
			detail, end.Exit = end.Err.Detail, end.Err.Exit
		}
		if end.Exit != test.exit || end.Signal != test.signal || end.Cause != "" || end.OutOfMemory ||
			!strings.Contains(detail, test.detail) || (detail == "") != (test.detail == "") || log.String() != test.log {
			t.Errorf("%.40q: exit %d, signal %q, cause %q, detail %q, log %q", test.argv, end.Exit, end.Signal, end.Cause, detail, log.String())
		}
		if end.EndedAt.Before(end.StartedAt) || end.StartedAt.IsZero() {
			t.Errorf("%q: from %v to %v", test.argv, end.StartedAt, end.EndedAt)
		}
	}
}

func TestStdoutGoesToBothAndStderrToTheLog(t *testing.T) {
	h := newHost(t, Options{})
	var log, out buffer
	spec := shell(t.TempDir(), "echo out; echo err >&2", &log)
	spec.Stdout = &out
	if end := h.New(spec).Run(); end.Exit != 0 {
		t.Fatalf("%+v, %s", end, log.String())
	}
	if out.String() != "out\n" || len(log.String()) != len("out\nerr\n") {
		t.Fatalf("stdout %q, log %q", out.String(), log.String())
	}
}

type refusing struct{ left int }

func (r *refusing) Write(p []byte) (int, error) {
	if r.left -= len(p); r.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestTooMuchStdoutEndsTheCommand(t *testing.T) {
	h := newHost(t, Options{})
	var log bytes.Buffer
	spec := shell(t.TempDir(), "yes", &buffer{})
	spec.Log = NewCapped(&log, 1000)
	spec.Stdout = &refusing{left: 1 << 20}
	end := h.New(spec).Run()
	if end.Cause != CauseOutput || end.Signal != "SIGKILL" {
		t.Fatalf("%+v", end)
	}
	want := strings.Repeat("y\n", 500) + "\n[davit: the log is cut here, after 1000 bytes]\n"
	if log.String() != want {
		t.Fatalf("log of %d bytes: %q", log.Len(), log.String())
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	tests := []struct {
		name, script string
		cancel       bool
		want         Cause
		exit         int
	}{
		{"timeout", "echo ready; sleep 300", false, CauseTimeout, 143},
		{"timeout that is obeyed", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", false, CauseTimeout, 0},
		{"cancel", "echo ready; sleep 300", true, CauseCancel, 143},
		{"cancel of a stopped one", "echo ready; kill -STOP $$", true, CauseCancel, 143},
		{"cancel with flood", "echo ready; while :; do echo flood; done", true, CauseCancel, 143},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t, Options{})
			var log buffer
			spec := shell(t.TempDir(), test.script, &log)
			if !test.cancel {
				spec.Timeout = 300 * time.Millisecond
			}
			p := h.New(spec)
			ended := make(chan End)
			go func() { ended <- p.Run() }()
			if test.cancel {
				testenv.Eventually(t, "the command", func() bool { return strings.Contains(log.String(), "ready") })
				p.Stop(CauseCancel)
				p.Stop(CauseTimeout)
			}
			end := <-ended
			p.Stop(CauseCancel)
			if end.Cause != test.want || end.Exit != test.exit {
				t.Fatalf("%+v, %.100s", end, log.String())
			}
		})
	}
}

func TestSIGTERMIgnoredIsSIGKILL(t *testing.T) {
	const grace = 300 * time.Millisecond
	h := newHost(t, Options{Grace: grace})
	var log buffer
	p := h.New(shell(t.TempDir(), "trap '' TERM; echo ready; while :; do sleep 1; done", &log))
	ended := make(chan End)
	go func() { ended <- p.Run() }()
	testenv.Eventually(t, "the command", func() bool { return log.String() != "" })
	begun := time.Now()
	p.Stop(CauseCancel)
	end := <-ended
	if end.Signal != "SIGKILL" || end.Cause != CauseCancel || time.Since(begun) < grace {
		t.Fatalf("%+v after %v", end, time.Since(begun))
	}
}

func TestStoppedBeforeItStarts(t *testing.T) {
	h := newHost(t, Options{})
	dir := t.TempDir()
	p := h.New(shell(dir, "touch ran", &buffer{}))
	p.Stop(CauseCancel)
	if end := p.Run(); end.Cause != CauseCancel || end.Err == nil {
		t.Fatalf("%+v", end)
	}
	if _, err := os.Stat(dir + "/ran"); err == nil {
		t.Fatal("it ran")
	}
}

func TestMemoryLimit(t *testing.T) {
	h := newHost(t, Options{Memory: 64 << 20})
	var log buffer
	spec := shell(t.TempDir(), `x=x; while :; do x=$x$x; sleep 0.01; done`, &log)
	spec.Timeout = time.Minute
	end := h.New(spec).Run()
	if end.Cause != CauseMemory || !end.OutOfMemory {
		t.Fatalf("%+v", end)
	}
}

func TestHardenedProcessCannotBeRead(t *testing.T) {
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		t.Fatalf("dumpable %d, %v", dumpable, err)
	}
	done := make(chan int)
	go func() {
		runtime.LockOSThread() // a thread of its own
		n, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		done <- n
	}()
	if n := <-done; n != 1 {
		t.Fatalf("no_new_privs is %d", n)
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a) R (b) S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1"
	st, ok := parseStat(line)
	if want := (stat{state: 'S', parent: 1, group: 2, session: 3, started: 12345}); !ok || st != want {
		t.Fatalf("got %+v, %v", st, ok)
	}
	if _, ok := parseStat("nonsense"); ok {
		t.Fatal("nonsense was read")
	}
}

func BenchmarkRun(b *testing.B) {
	h := newHost(b, Options{})
	spec := shell(b.TempDir(), "", &buffer{})
	spec.Argv = []string{"/bin/true"}
	for b.Loop() {
		if end := h.New(spec).Run(); end.Exit != 0 {
			b.Fatalf("%+v", end)
		}
	}
}

func BenchmarkForkExec(b *testing.B) {
	null, _ := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	defer func() { _ = null.Close() }()
	n := null.Fd()
	for b.Loop() {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Files: []uintptr{n, n, n}})
		if err != nil {
			b.Fatal(err)
		}
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
}
