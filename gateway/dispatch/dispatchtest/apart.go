package dispatchtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"davit/internal/task"
	"davit/runner/park"
)

// Main is TestMain of a package that uses NewApart: it makes the test binary a runner where it is started as one.
func Main(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == launchFlag {
		os.Exit(actAsRunner())
	}
	os.Exit(m.Run())
}

const launchFlag = "--launch=-"

func actAsRunner() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var launch task.Launch
	err := json.NewDecoder(os.Stdin).Decode(&launch)
	if err == nil {
		err = runIn(ctx, launch, 0, nil)
	}
	switch {
	case err == nil:
		return task.ExitDone
	case errors.Is(err, park.ErrStart):
		return task.ExitStartFailed
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// runApart is runIn in a process of its own, in which ctx's end is SIGTERM.
func runApart(ctx context.Context, launch task.Launch) error {
	b, err := json.Marshal(launch)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", launchFlag)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(b), os.Stderr
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // else each takes a second to end
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // of one that hangs
	err = cmd.Run()
	if cmd.ProcessState.ExitCode() == task.ExitStartFailed {
		return fmt.Errorf("%w: %w", park.ErrStart, err)
	}
	return err
}
