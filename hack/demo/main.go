// Command demo is the first minute with Davit: it starts the gateway on its
// embedded default, registers the word count example, calls it with a file, and
// shows what came back. With -stay the gateway then runs until Ctrl-C; else the
// exit code is 0 only if the result was right. It needs no curl, tar or unzip;
// what it does is printed as the commands that would do the same.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	stay := flag.Bool("stay", false, "leave the gateway running until Ctrl-C")
	bin := flag.String("bin", "bin", "folder of the programs")
	example := flag.String("example", "examples/wordcount", "folder of the example")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := demo(ctx, *bin, *example, *stay, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo runs the gateway beside its calls, and ends it.
func demo(ctx context.Context, bin, example string, stay bool, out io.Writer) error {
	g, err := start(ctx, filepath.Join(bin, "davit-gateway"))
	if err != nil {
		return err
	}
	err = first(ctx, g, example, out)
	if err == nil && stay {
		err = g.stayUp(ctx, out)
	}
	return errors.Join(err, g.stop())
}

// gateway is the running program and what it said when it was ready.
type gateway struct {
	cmd                   *exec.Cmd
	exited                chan error
	console, calls, token string
	signIn                string
	tokenFile             string
}

// startIn is how long the gateway may take until it serves.
const startIn = 30 * time.Second

// start runs the gateway and waits until it has said where it listens.
func start(ctx context.Context, program string) (*gateway, error) {
	g := &gateway{exited: make(chan error, 1)}
	g.cmd = exec.Command(program) //nolint:noctx,gosec // it is ended by SIGTERM, in stop
	g.cmd.Env = append(os.Environ(), quiet()...)
	g.cmd.Stderr = os.Stderr
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program, which ends the other
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s (run `make build` first): %w", program, err)
	}
	lines := make(chan string)
	go g.read(stdout, lines)
	if err := g.awaitReady(ctx, lines); err != nil {
		return nil, errors.Join(err, g.stop())
	}
	return g, nil
}

// quiet keeps the log to what needs attention, unless somebody asks for more.
func quiet() []string {
	if os.Getenv("DAVIT_LOG_LEVEL") != "" { //nolint:forbidigo // this program's own
		return nil
	}
	return []string{"DAVIT_LOG_LEVEL=warn"}
}

func (g *gateway) read(stdout io.Reader, lines chan<- string) {
	s := bufio.NewScanner(stdout)
	for s.Scan() {
		lines <- s.Text()
	}
	close(lines)
	g.exited <- g.cmd.Wait()
}

func (g *gateway) awaitReady(ctx context.Context, lines <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, startIn)
	defer cancel()
	for g.signIn == "" {
		select {
		case line, open := <-lines:
			if !open {
				return errors.New("the gateway ended before it was ready; see what it said above")
			}
			g.take(line)
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w", ctx.Err())
		}
	}
	go func() {
		for range lines { //nolint:revive // drains what is said later
		}
	}()
	b, err := os.ReadFile(g.tokenFile)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	g.token = strings.TrimSpace(string(b))
	return nil
}

func (g *gateway) take(line string) {
	name, value, _ := strings.Cut(line, "=")
	switch name {
	case "DAVIT_CONSOLE":
		g.console = value
	case "DAVIT_CALLS":
		g.calls = value
	case "DAVIT_TOKEN_FILE":
		g.tokenFile = value
	}
	if _, url, ok := strings.Cut(line, "Sign in once: "); ok {
		g.signIn = url
	}
}

func (g *gateway) stayUp(ctx context.Context, out io.Writer) error {
	_, _ = fmt.Fprintf(out, "\nDavit is up; Ctrl-C ends it.\n\n  page      http://%s\n  triggers  http://%s\n\nDAVIT_CONSOLE=%s\nDAVIT_CALLS=%s\nDAVIT_TOKEN_FILE=%s\nSign in once: %s\n",
		g.console, g.calls, g.console, g.calls, g.tokenFile, g.signIn)
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(out, "\nstopping")
		return nil
	case err := <-g.exited:
		g.exited <- err
		return errors.New("the gateway ended by itself")
	}
}

// stop ends the gateway and waits for it.
func (g *gateway) stop() error {
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	if err := <-g.exited; err != nil {
		return fmt.Errorf("the gateway ended: %w", err)
	}
	return nil
}
