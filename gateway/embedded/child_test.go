package embedded

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A test that needs a process of its own starts this test program again, with these set.
const (
	childDir     = "DAVIT_EMBEDDED_TEST_DIR"
	childLimit   = "DAVIT_EMBEDDED_TEST_FILE_LIMIT" // bytes that a file may have, like a full disk
	childCompact = "DAVIT_EMBEDDED_TEST_COMPACT"
)

// runChild serves until its standard input ends. Each line of it lifts the limit on file sizes.
func runChild(dir string) int {
	if err := serveChild(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveChild(dir string) error {
	compact, err := strconv.ParseInt(os.Getenv(childCompact), 10, 64)
	if err != nil {
		return err
	}
	s, err := Start(context.Background(), Options{Dir: dir, CompactBytes: compact})
	if err != nil {
		return err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if limit, err := strconv.ParseUint(os.Getenv(childLimit), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ) // so that write(2) fails with EFBIG
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: before.Max}); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stdout, s.URL()) // to the parent, which waits for it
	go func() {
		for err := range s.Err() {
			fmt.Fprintln(os.Stdout, "failed:", err)
		}
	}()
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			return err
		}
	}
	return s.Close()
}

// child is a server in a process of its own.
type child struct {
	url   string
	cmd   *exec.Cmd
	out   *bufio.Reader
	input *os.File
}

func startChild(t *testing.T, dir string, environment ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), childDir+"="+dir, childCompact+"=65536"), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = t.Output()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = r
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, out: bufio.NewReader(out), input: w}
	t.Cleanup(func() {
		c.kill(t)
		_, _ = r.Close(), w.Close()
	})
	c.url = c.line(t)
	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("read from the child: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// kill ends it without warning, and returns when it has ended.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if c.cmd.ProcessState != nil {
		return
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = c.cmd.Wait() // it says that it was killed
}
