package local

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"davit/internal/faas"
)

// killedGateway starts runners in a gateway process of its own, and kills that process.
func killedGateway(t *testing.T, dir, runner, addr string) {
	t.Helper()
	killedGatewayOf(t, os.Getuid(), dir, runner, addr)
}

func killedGatewayOf(t *testing.T, uid int, dir, runner, addr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "--gateway", dir, runner, addr)
	cmd.Stderr = os.Stderr
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "launched\n" {
		t.Fatalf("the gateway said %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestRunnersOfAKilledGatewayAreTakenOver(t *testing.T) {
	dir := openDir(t)
	killedGateway(t, dir, "/proc/self/exe", "127.0.0.1:1")
	if n := len(processesBelow(dir)); n != 3 {
		t.Fatalf("%d runners outlived their gateway", n)
	}
	dead := filepath.Join(dir, "runners", "dead", "local-job-x")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	gone := processRecord{Runner: "local-job-x", PID: os.Getpid(), StartTime: 1, Boot: bootID()} // a pid that is another's now
	if err := gone.write(dead + recordSuffix); err != nil {
		t.Fatal(err)
	}

	b := newBench(t, dir)
	ref := faas.RevisionRef{Function: "f", Number: 1}
	if warm, jobs := b.Running(ref, faas.StartWarm), b.Running(ref, faas.StartJob); warm != 2 || jobs != 1 {
		t.Fatalf("%d warm runners and %d jobs are counted", warm, jobs)
	}
	if _, err := os.Stat(filepath.Dir(dead)); err == nil {
		if left, _ := os.ReadDir(filepath.Dir(dead)); len(left) > 1 {
			t.Errorf("what is dead is not removed: %v", left)
		}
	}
	rev := revision("stay")
	rev.Number = 1
	if err := b.Launch(t.Context(), rev, adopted); err != nil || b.Running(ref, faas.StartJob) != 1 {
		t.Fatalf("the invocation has %d processes, %v", b.Running(ref, faas.StartJob), err)
	}
	if err := b.Stop(t.Context(), adopted); err != nil {
		t.Fatal(err)
	}
	if e := b.exit(0); e.Invocation != "" || e.Reason != faas.ReasonRunnerLost || !strings.Contains(e.Detail, "earlier gateway") {
		t.Fatalf("exit %+v", e)
	}
	b.stop()
	if len(b.exits) != 3 {
		t.Fatalf("exits %+v", b.exits)
	}
}

func TestRunnersOfALiveGatewayAreLeftAlone(t *testing.T) {
	dir := openDir(t)
	a := newBench(t, dir)
	if err := a.Launch(t.Context(), revision("stay"), "a"); err != nil {
		t.Fatal(err)
	}
	b := newBenchBeside(t, dir, "/proc/self/exe", "127.0.0.1:1")
	if n := b.Running(revision("").Ref(), faas.StartJob); n != 0 {
		t.Fatalf("it counts %d runners of another gateway", n)
	}
	b.stop()
	if n := a.Running(revision("").Ref(), faas.StartJob); n != 1 || len(processesBelow(dir)) == 0 {
		t.Fatal("a gateway's end ended another's runner")
	}
}
