// Package rig starts Davit's programs as a user does and calls them over HTTP, for the tests of the whole system, the
// benchmarks and the demo. It knows the API's paths and nothing of the programs' code. Start at Start.
package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startIn is how long Start waits until the gateway serves.
const startIn = 60 * time.Second

// Options say which gateway to start and how.
type Options struct {
	Bin  string    // folder of the programs
	Env  []string  // settings, added to this process's environment; a later one replaces an earlier one
	Log  io.Writer // gets the gateway's log
	Bare bool      // the environment is only PATH, HOME and Env
}

// Gateway is a running gateway and its addresses.
type Gateway struct {
	Console, Calls   string // host:port
	TokenFile, Token string
	SignIn           string // one-time URL
	Process          *os.Process

	cmd    *exec.Cmd
	exited chan struct{}
	err    error
	once   sync.Once
}

// Start starts a gateway and waits until it has printed its addresses. The caller ends it with Stop or Kill.
func Start(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{exited: make(chan struct{})}
	program := filepath.Join(o.Bin, "davit-gateway")
	g.cmd = exec.Command(program) //nolint:noctx // it is ended by Stop or Kill
	g.cmd.Env = append(inherited(o.Bare), o.Env...)
	g.cmd.Stderr = o.Log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must reach this program only, which then ends the gateway
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	g.cmd.Stdout = in
	err = g.cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("start %s (run `make build` first): %w", program, err)
	}
	g.Process = g.cmd.Process
	lines := make(chan string, 16)
	go g.read(out, lines)
	go func() {
		g.err = g.cmd.Wait()
		close(g.exited)
	}()
	if err := g.awaitReady(ctx, lines); err != nil {
		_ = g.Process.Kill()
		<-g.exited
		return nil, err
	}
	return g, nil
}

func inherited(bare bool) []string {
	if !bare {
		return os.Environ()
	}
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
}

func (g *Gateway) read(out io.ReadCloser, lines chan<- string) {
	defer func() { _ = out.Close() }()
	defer close(lines)
	s := bufio.NewScanner(out)
	for s.Scan() {
		select {
		case lines <- s.Text():
		default: // later lines are not needed
		}
	}
}

func (g *Gateway) awaitReady(ctx context.Context, lines <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, startIn)
	defer cancel()
	for g.SignIn == "" {
		select {
		case line, open := <-lines:
			if !open {
				return errors.New("the gateway ended before it was ready; its log says why")
			}
			g.take(line)
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w", ctx.Err())
		}
	}
	b, err := os.ReadFile(g.TokenFile)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	g.Token = strings.TrimSpace(string(b))
	return nil
}

func (g *Gateway) take(line string) {
	name, value, _ := strings.Cut(line, "=")
	switch name {
	case "DAVIT_CONSOLE":
		g.Console = value
	case "DAVIT_CALLS":
		g.Calls = value
	case "DAVIT_TOKEN_FILE":
		g.TokenFile = value
	}
	if _, url, ok := strings.Cut(line, "Sign in once: "); ok {
		g.SignIn = url
	}
}

// Exited returns a channel that is closed when the gateway has ended, for whatever reason.
func (g *Gateway) Exited() <-chan struct{} { return g.exited }

// Stop sends SIGTERM and waits until the gateway has ended. The error says that it did not exit with 0.
func (g *Gateway) Stop() error {
	g.once.Do(func() { _ = g.Process.Signal(syscall.SIGTERM) }) // it may have ended
	<-g.exited
	if g.err != nil {
		return fmt.Errorf("the gateway ended: %w", g.err)
	}
	return nil
}

// Kill sends SIGKILL and waits until the gateway has ended.
func (g *Gateway) Kill() {
	g.once.Do(func() {})
	_ = g.Process.Kill()
	<-g.exited
}
