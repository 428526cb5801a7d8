//go:build all

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"davit/internal/testenv"
)

// TestReadme types the README's commands, exactly as written, in a copy of the files that git tracks: `make run` in one
// shell, the rest in another.
func TestReadme(t *testing.T) {
	for _, port := range []string{"8080", "8081", "8082", "8083"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatalf("the README is about the default ports, but %v; end the program that listens there, maybe a `make run`", err)
		}
		_ = l.Close()
	}
	clone := copyTracked(t)
	readme, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	start, own := section(t, readme, "## The first minute"), section(t, readme, "## Your own function")
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // else runners, another user, get a folder that stays
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	data := "DAVIT_DATA_DIR=" + filepath.Join(dir, "data")
	run := newTerminal(t, clone, data)
	run.typed(blocks(start, "sh")[0])
	run.await("Sign in once: ")
	for _, text := range []string{"HTTP/1.1 200 OK", "counts.csv", "sample.txt,3,26,114", "http://127.0.0.1:8080", "http://127.0.0.1:8081"} {
		if !strings.Contains(run.out.String(), text) {
			t.Errorf("`make run` did not print %q", text)
		}
	}
	commands, prints := blocks(own, "sh"), blocks(own, "text")
	second := newTerminal(t, clone, data)
	second.typed(run.line("DAVIT_TOKEN_FILE=") + "\n" + commands[0])
	second.await(prints[0])
	second.typed(commands[1])
	second.await("202 Accepted")
	second.await(`"items"`)
	if got := second.out.String(); strings.Count(got, `"trigger":"hello"`) < 4 { // the answer of 202, and three in the list
		t.Error("the list does not show the calls")
	}
	run.interrupt()

	again := newTerminal(t, clone, data)
	again.typed(blocks(start, "sh")[0])
	again.await("Sign in once: ")
	second.typed("curl http://127.0.0.1:8081/hello/again\n")
	second.await("Hello, again!\n")
	again.interrupt()
	demo := newTerminal(t, clone, data)
	demo.typed("make demo; echo exit code $?\n")
	demo.await("exit code 0")
	if t.Failed() {
		t.Logf("in the first terminal:\n%s\nin the second:\n%s", run.all(), second.all())
	}
}

// copyTracked copies the tracked files, with their uncommitted changes, to a new folder.
func copyTracked(t *testing.T) string {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "davit")
	copyTrackedTo(t, clone)
	return clone
}

func copyTrackedTo(t *testing.T, clone string) {
	t.Helper()
	list, err := exec.Command("git", "-C", "..", "ls-files", "-z", "--cached").Output()
	if err != nil {
		t.Fatalf("list what git tracks (this test needs a clone of the repository): %v", err)
	}
	for name := range strings.SplitSeq(strings.Trim(string(list), "\x00"), "\x00") {
		from, to := filepath.Join("..", name), filepath.Join(clone, name)
		info, err := os.Stat(from)
		if os.IsNotExist(err) {
			continue // removed, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

// section returns the text below a heading.
func section(t *testing.T, readme []byte, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(string(readme), heading+"\n")
	if !found {
		t.Fatalf("the README has no %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// blocks returns the code blocks of a language.
func blocks(text, language string) []string {
	var found []string
	for _, part := range strings.Split(text, "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		found = append(found, block)
	}
	return found
}

// terminal is a shell that reads typed commands. It keeps the shell's output.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	gone chan struct{}

	out, errs printed // curl prints its progress to errs, because this is not a real terminal
}

// printed is the output so far.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *printed) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *printed) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func newTerminal(t *testing.T, dir string, env ...string) *terminal {
	t.Helper()
	x := &terminal{t: t, cmd: exec.Command("bash"), gone: make(chan struct{})}
	x.cmd.Dir = dir
	x.cmd.Env = append(goEnv(t), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	x.cmd.Env = append(x.cmd.Env, env...)
	x.cmd.Stdout, x.cmd.Stderr = &x.out, &x.errs
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	x.cmd.WaitDelay = wait
	var err error
	if x.in, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(x.gone)
		_ = x.cmd.Wait()
	}()
	t.Cleanup(x.interrupt)
	return x
}

// goEnv returns the settings with which the toolchain uses this machine's caches under another HOME.
func goEnv(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GONOSUMDB", "GOSUMDB").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	return []string{"GOCACHE=" + lines[0], "GOMODCACHE=" + lines[1], "GOPROXY=" + lines[2], "GOFLAGS=" + lines[3], "GONOSUMDB=" + lines[4], "GOSUMDB=" + lines[5]}
}

func (x *terminal) typed(commands string) {
	x.t.Helper()
	if _, err := io.WriteString(x.in, commands); err != nil {
		x.t.Fatalf("type %q: %v; the shell printed\n%s", commands, err, x.all())
	}
}

// all returns all output, for messages.
func (x *terminal) all() string {
	return x.out.String() + "\nand on standard error:\n" + x.errs.String()
}

// await waits until the shell has printed something.
func (x *terminal) await(text string) {
	x.t.Helper()
	defer func() {
		if x.t.Failed() {
			x.t.Logf("the shell printed:\n%s", x.all())
		}
	}()
	const patience = 4 * time.Minute // long, because the commands may build everything
	testenv.EventuallyWithin(x.t, patience, fmt.Sprintf("the shell prints %q", text), func() bool {
		select {
		case <-x.gone:
			if !strings.Contains(x.out.String(), text) {
				x.t.Fatalf("the shell ended and did not print %q", text)
			}
		default:
		}
		return strings.Contains(x.out.String(), text)
	})
}

// line returns the first line of the output that begins with beginning.
func (x *terminal) line(beginning string) string {
	for line := range strings.Lines(x.out.String()) {
		if strings.HasPrefix(line, beginning) {
			return strings.TrimSpace(line)
		}
	}
	x.t.Fatalf("no line begins with %q:\n%s", beginning, x.all())
	return ""
}

// interrupt sends Ctrl-C and waits until the shell has ended.
func (x *terminal) interrupt() {
	_ = x.in.Close()
	_ = syscall.Kill(-x.cmd.Process.Pid, syscall.SIGINT) // it may be gone
	<-x.gone
}
