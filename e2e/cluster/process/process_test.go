package process

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

func newTable(t *testing.T) *Table {
	t.Helper()
	dir := t.TempDir()
	return NewTable(dir, dir, "DAVIT_PROCESS_TEST="+dir)
}

func start(t *testing.T, table *Table) int {
	t.Helper()
	if err := table.Start(Command{Name: "sleeper", Path: "/bin/sh", Args: []string{"-c", "sleep 600 & wait"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Sweep(t.Context()); err == nil && table.Alive("sleeper") {
			t.Error("the sleeper outlives the test")
		}
	})
	return table.PID("sleeper")
}

func TestSweepEndsWhatWasStartedWithWhatThatStarted(t *testing.T) {
	table := newTable(t)
	pid := start(t, table)
	child := childOf(t, pid)
	other := exec.CommandContext(t.Context(), "sleep", "600")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()

	if err := table.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if table.Alive("sleeper") {
		t.Error("the process runs after the sweep")
	}
	if _, err := identify(child); err == nil {
		t.Error("its child runs after the sweep")
	}
	if _, err := identify(other.Process.Pid); err != nil {
		t.Errorf("a process without the mark was ended: %v", err)
	}
}

// childOf waits for the shell's child.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	path := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children"
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-ticker.C {
		text, _ := os.ReadFile(path)
		if len(text) == 0 {
			continue
		}
		child, err := strconv.Atoi(string(text[:len(text)-1]))
		if err != nil {
			t.Fatal(err)
		}
		return child
	}
	t.Fatal("the shell started nothing")
	return 0
}

func TestAProcessWithTheSameIDIsNotTheSame(t *testing.T) {
	id, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !id.alive() {
		t.Error("this process is said not to run")
	}
	id.Start++
	if id.alive() {
		t.Error("a process that started at another time is taken for this one")
	}
	if err := id.kill(t.Context()); err != nil {
		t.Errorf("killing one that is gone: %v", err)
	}
}

func TestAProcessThatEndedIsNotAlive(t *testing.T) {
	table := newTable(t)
	pid := start(t, table)
	if err := Kill(t.Context(), pid); err != nil {
		t.Fatal(err)
	}
	if table.Alive("sleeper") {
		t.Error("a process that was killed is said to run")
	}
	if err := Kill(t.Context(), pid); err != nil {
		t.Errorf("killing it again: %v", err)
	}
}
