package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// patience is how long an interrupted stage may take to end.
const patience = 30 * time.Second

// stages runs programs, one after the other, and records how long they took.
type stages struct {
	out   io.Writer
	env   []string
	now   func() time.Time
	lines []string
}

// command is a program to run. Output without a writer goes to stages.out.
type command struct {
	dir            string
	args           []string
	stdout, stderr io.Writer
}

func (s *stages) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, "cluster-e2e: "+format+"\n", args...) // an error here must not stop the tests
}

// run runs a stage to its end; when ctx ends, it is interrupted, as by Ctrl-C.
func (s *stages) run(ctx context.Context, name string, c command) error {
	began := s.now()
	s.say("%s", name)
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, s.env, s.out, s.out
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	if c.stderr != nil {
		cmd.Stderr = io.MultiWriter(s.out, c.stderr)
	}
	// A process group of its own, so that only Cancel interrupts it, and with it all its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = patience
	err := cmd.Run()
	took := s.now().Sub(began).Round(time.Second)
	if err != nil {
		s.lines = append(s.lines, fmt.Sprintf("%-32s %8s  FAILED", name, took))
		return fmt.Errorf("%s: %s: %w", name, strings.Join(c.args, " "), err)
	}
	s.lines = append(s.lines, fmt.Sprintf("%-32s %8s", name, took))
	return nil
}

// summary prints how long each stage took.
func (s *stages) summary() {
	for _, line := range s.lines {
		s.say("%s", line)
	}
}
