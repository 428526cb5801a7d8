package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func script(text string) command { return command{args: []string{"sh", "-c", text}} }

// TestStages: the summary has the time and failure of each stage, and read returns the value of its line.
func TestStages(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(0, 0)
	s := &stages{out: &out, env: []string{"PATH=/usr/bin:/bin", "WORD=said"}, now: func() time.Time { at = at.Add(3 * time.Second); return at }}
	if err := s.run(t.Context(), "first", script(`echo "$WORD"`)); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := s.run(t.Context(), "second", script("exit 4")); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("the stage ended with %v", err)
	}
	value, err := s.read(t.Context(), "third", "A=", script("echo B=2; echo A=1"))
	if err != nil || value != "1" {
		t.Errorf("read %q, %v", value, err)
	}
	if _, err := s.read(t.Context(), "fourth", "A=", script("true")); err == nil {
		t.Error("read found a line that is missing")
	}
	s.summary()
	for _, line := range []string{"said\n", "cluster-e2e: first                                  3s\n", "cluster-e2e: second                                 3s  FAILED\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the output has no %q:\n%s", line, out.String())
		}
	}
}

// TestInterruptedStage: an interrupt reaches all processes of a stage, and run waits for its end.
func TestInterruptedStage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := writer(func(p []byte) {
		if strings.Contains(string(p), "ready") {
			cancel()
		}
	})
	s := &stages{out: out, env: []string{"PATH=/usr/bin:/bin"}, now: time.Now}
	err := s.run(ctx, "long", script(`trap "exit 7" INT; echo ready; while :; do sleep 0.1; done`))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("the stage ended with %v", err)
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
