package local

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/internal/task"
	"davit/internal/testenv"
)

// TestMain runs the test binary as a runner, as a gateway to be killed, or as the tests.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "--launch=-":
		os.Exit(actAsRunner())
	case len(os.Args) == 5 && os.Args[1] == "--gateway":
		os.Exit(actAsGateway(os.Args[2], os.Args[3], os.Args[4]))
	}
	remove, err := buildRunner()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the runner:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		remove()
		os.Exit(code)
	}))
}

// actAsRunner acts as the variable ACT of the function says.
func actAsRunner() int {
	var l task.Launch
	if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
		fmt.Fprintln(os.Stderr, "no launch:", err)
		return 1
	}
	signal.Ignore(syscall.SIGPIPE)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	report(&l)
	switch l.Env["ACT"] {
	case "end":
		return task.ExitDone
	case "fail":
		fmt.Fprintf(os.Stderr, "first\n\nthe last words\n")
		return 9
	case "start fails":
		fmt.Fprintln(os.Stderr, "port 5000 never answered")
		return task.ExitStartFailed
	case "leave":
		return leave(&l)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		select {}
	}
	for range 1000 { // it writes even if no gateway reads
		select {
		case <-terminated:
			return task.ExitDone
		case <-time.After(50 * time.Millisecond):
			fmt.Fprintln(os.Stderr, "still here")
		}
	}
	return 1
}

// report writes the properties of the runner process to its directory.
func report(l *task.Launch) {
	status, _ := os.ReadFile("/proc/self/status")
	b, _ := json.Marshal(l)
	wd, _ := os.Getwd()
	source, sourceErr := os.ReadDir(l.SourceDir)
	_, writeErr := os.Create(filepath.Join(l.SourceDir, "new"))
	text := fmt.Sprintf("launch %s\nwd %s\nenv %q\nsource %d %v\nwrite %v\n%s", b, wd, os.Environ(), len(source), sourceErr, writeErr, status)
	if err := os.WriteFile(filepath.Join(l.Dir, "report.tmp"), []byte(text), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.Rename(filepath.Join(l.Dir, "report.tmp"), filepath.Join(l.Dir, "report"))
}

// leave starts processes that leave their parent's session, and kills itself.
func leave(l *task.Launch) int {
	for _, env := range [][]string{{"TMPDIR=" + l.Dir + "/tmp"}, {}} { // the second one names nothing
		cmd := exec.Command("/bin/sh", "-c", "(sleep 1000 & echo $! >>"+l.Dir+"/left; sleep 1000) & sleep 0.2")
		cmd.Env, cmd.Dir = env, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	left, _ := os.ReadFile(filepath.Join(l.Dir, "left"))
	fmt.Fprintln(os.Stderr, "left", strings.Join(strings.Fields(string(left)), " "))
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// adopted is the invocation of the job that outlives its gateway.
const adopted faas.InvocationID = "0192d000-0000-7000-8000-00000000000a"

// actAsGateway starts three runners and waits to be killed.
func actAsGateway(dir, runner, addr string) int {
	l, err := New(Options{
		RunnerBinary: runner, Dir: dir, Gateways: func() []string { return []string{addr} },
		Token: func(ref faas.RevisionRef) string { return "token of " + ref.String() },
	})
	if err == nil {
		rev := &faas.Revision{Function: "f", Number: 1}
		_, err = l.Build(context.Background(), rev, bytes.NewReader(mustTGZ()), io.Discard)
		rev.SourceSum = sumOf(mustTGZ())
		err = errors.Join(err, l.Scale(context.Background(), rev, faas.StartWarm, 2), l.Launch(context.Background(), rev, adopted))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if !testenv.Becomes(testenv.Patience, func() bool { // each has written its report or its slots
		files, _ := filepath.Glob(filepath.Join(dir, "runners", "*", "*", "[rs]*"))
		folders := map[string]bool{}
		for _, file := range files {
			folders[filepath.Dir(file)] = true
		}
		return len(folders) >= 3
	}) {
		fmt.Fprintln(os.Stderr, "the runners write neither report nor slots")
		return 1
	}
	_, _ = os.Stdout.WriteString("launched\n")
	select {}
}

// mustTGZ is an archive of one file.
func mustTGZ() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	content := "#!/bin/sh\n"
	err := w.WriteHeader(&tar.Header{Name: "app.sh", Mode: 0o4755, Size: int64(len(content)), Typeflag: tar.TypeReg})
	_, writeErr := io.WriteString(w, content)
	if err := errors.Join(err, writeErr, w.Close(), z.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// bench is a running launcher, with the exits that it reported.
type bench struct {
	*Launcher
	t     *testing.T
	dir   string
	stop  func()
	mu    sync.Mutex
	exits []faas.Exit
}

// newBench runs a launcher until the test ends or stop is called, and checks that it leaves no processes and no
// folders.
func newBench(t *testing.T, dir string) *bench {
	t.Helper()
	return newBenchOf(t, dir, "/proc/self/exe", "127.0.0.1:1")
}

func newBenchOf(t *testing.T, dir, runner, addr string) *bench {
	t.Helper()
	b := newBenchBeside(t, dir, runner, addr)
	t.Cleanup(func() {
		b.stop()
		if pids := processesBelow(dir); len(pids) > 0 {
			t.Errorf("processes %v are left", pids)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "runners", "*"))
		if len(left) > 0 {
			t.Errorf("%q are left", left)
		}
	})
	return b
}

// newBenchBeside is newBench in a folder that other launchers use, too.
func newBenchBeside(t *testing.T, dir, runner, addr string) *bench {
	t.Helper()
	b := &bench{t: t, dir: dir}
	var err error
	b.Launcher, err = New(Options{
		RunnerBinary: runner, Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Gateways: func() []string { return []string{addr} },
		Token:    func(ref faas.RevisionRef) string { return "token of " + ref.String() },
		Source: func(context.Context, *faas.Revision) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(mustTGZ())), nil
		},
		Hide: []string{"/private"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.Run(ctx, func(e faas.Exit) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.exits = append(b.exits, e)
		})
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// openDir returns a temporary folder that every user can reach, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "davit-local-") //nolint:usetesting // t.TempDir is closed to others
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pid := range processesBelow(dir) { // of a test that failed
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// revision returns a revision whose runners act as act says.
func revision(act string) *faas.Revision {
	fs := spec.CompleteFunction(faas.FunctionSpec{Env: map[string]string{"ACT": act}}, faas.Defaults{})
	return &faas.Revision{Function: "f", Number: 3, Spec: fs, SourceSum: sumOf(mustTGZ())}
}

// exit waits for the n-th exit.
func (b *bench) exit(n int) faas.Exit {
	b.t.Helper()
	testenv.Eventually(b.t, "a process ends", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.exits) > n })
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.exits[n]
}

// reports waits for the reports of n runners, and returns them.
func (b *bench) reports(n int) []string {
	b.t.Helper()
	var files []string
	testenv.Eventually(b.t, fmt.Sprintf("%d runners report", n), func() bool {
		files, _ = filepath.Glob(filepath.Join(b.dir, "runners", "*", "*", "report"))
		return len(files) == n
	})
	var out []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

// processesBelow finds the processes that work below a folder or run from it.
func processesBelow(dir string) []int {
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if usesDir(pid, dir) || strings.HasPrefix(exe, dir+"/") {
			out = append(out, pid)
		}
	}
	return out
}
