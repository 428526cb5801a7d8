package testenv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const (
	startWithin = 60 * time.Second // long, because the machine may be busy with other tests
	stopWithin  = 20 * time.Second
	startTries  = 5 // because another program may use the chosen port before the start
	pollEvery   = 5 * time.Millisecond
)

// process is one server. Restarts keep its program, address and data.
type process struct {
	t       testing.TB
	name    string
	program string
	dir     string // its working directory and data
	args    func(host, port string) []string
	env     []string
	ready   func(ctx context.Context, addr string) error

	addr   string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
}

// open chooses an address, starts the server there, and registers its end with the test.
func (p *process) open() {
	p.t.Helper()
	p.t.Cleanup(p.end)
	var err error
	for range startTries {
		if p.addr, err = FreeAddress(p.t.Context()); err != nil {
			break
		}
		if err = p.start(); err == nil {
			return
		}
		p.end()
	}
	p.t.Fatalf("start %s: %v\n%s", p.name, err, p.log())
}

// start runs the program and returns when the server answers.
func (p *process) start() error {
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	// Not CommandContext: the test's context ends before its clean-up, which still needs the server.
	cmd := exec.Command(p.program, p.args(host, port)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, out, out
	// Its own group, so that Ctrl-C reaches only the test. Pdeathsig ends the server when the test is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // the error is not needed: the test ended it, or the log says why
	}()
	return p.awaitReady()
}

func (p *process) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := p.ready(ctx, p.addr)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it did not answer in %v: %w", startWithin, err)
		case <-tick.C:
		}
	}
}

// Start starts the server again, at the same address with the same data, and returns when it answers. It must have been
// stopped or killed.
func (p *process) Start() {
	p.t.Helper()
	if p.running() {
		p.t.Fatalf("start %s: it is running", p.name)
	}
	if err := p.start(); err != nil {
		p.t.Fatalf("start %s again: %v\n%s", p.name, err, p.log())
	}
}

// Stop sends SIGTERM and returns when the server has ended.
func (p *process) Stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopWithin):
		p.end()
		p.t.Fatalf("stop %s: still running after %v\n%s", p.name, stopWithin, p.log())
	}
}

// Kill sends SIGKILL and returns when the server has ended.
func (p *process) Kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// Pause sends SIGSTOP: connections stay open and the server does not answer.
func (p *process) Pause() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
}

// Resume ends a Pause.
func (p *process) Resume() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if !p.running() {
		p.t.Fatalf("signal %s: it is not running", p.name)
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// end kills the server if it runs. It may be called at any time and more than once.
func (p *process) end() {
	if !p.running() {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) logFile() string { return filepath.Join(p.dir, p.name+".log") }

// log returns the end of the server's log, for messages.
func (p *process) log() string {
	const most = 4 << 10
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	return string(text[max(0, len(text)-most):])
}

// FreeAddress returns a free address of this machine. It stays usable after a restart of the server, because its port
// is not one that the kernel gives to outgoing connections.
func FreeAddress(ctx context.Context) (string, error) {
	const first, last, tries = 15_000, 30_000, 100
	var config net.ListenConfig
	var err error
	for range tries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first)))
		var listener net.Listener
		if listener, err = config.Listen(ctx, "tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", err
}
