package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"davit/internal/testenv"
)

// orphanScripts are scripts that leave processes in the background; their pids go to the file pids.
var orphanScripts = map[string]string{
	"background":          `sleep 300 & echo $! > pids`,
	"two generations":     `sh -c 'sleep 300 & echo $! >> pids; sleep 300' & echo $! >> pids; wait_for() { while ! [ -s pids ] || [ $(wc -l < pids) -lt 2 ]; do :; done; }; wait_for`,
	"session":             `setsid sleep 300 & echo $! > pids; sleep 0.05`,
	"double fork":         `(setsid sh -c 'setsid sleep 300 & echo $! > pids' &) ; while ! [ -s pids ]; do :; done`,
	"without environment": `(setsid env -i /bin/sleep 300 & echo $! > pids); sleep 0.05`,
	"ignores signals":     `(trap "" TERM HUP INT; setsid sh -c 'trap "" TERM; while :; do sleep 1; done' & echo $! > pids); sleep 0.05`,
	"stopped":             `(setsid sh -c 'kill -STOP $$; sleep 300' & echo $! > pids); sleep 0.05`,
	"closed output":       `sleep 300 >/dev/null 2>&1 </dev/null & echo $! > pids; exec >&- 2>&-`,
	"chain of forks":      `cat > bomb <<'X'` + "\n" + `echo $$ >> pids; [ $(wc -l < pids) -gt 200 ] || setsid sh ./bomb &` + "\nX\n" + `setsid sh ./bomb & while ! [ -s pids ]; do :; done`,
}

func TestNothingIsLeftBehind(t *testing.T) {
	for name, script := range orphanScripts {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, Options{})
			dir := t.TempDir()
			var log buffer
			var end End
			testenv.Returns(t, 5*time.Second, "Run", func() { end = h.New(shell(dir, script, &log)).Run() })
			if end.Exit != 0 {
				t.Fatalf("%+v, %s", end, log.String())
			}
			left := pids(t, filepath.Join(dir, "pids"))
			if len(left) == 0 {
				t.Fatal("the script left nothing to look for")
			}
			for _, pid := range left {
				if alive(pid) {
					t.Errorf("%d is alive", pid)
				}
			}
			if left := h.orphans(); len(left) > 0 {
				t.Errorf("children %v are left", left)
			}
		})
	}
}

func TestAnOrphanDoesNotDelayTheEnd(t *testing.T) {
	h := newHost(t, Options{})
	var log buffer
	spec := shell(t.TempDir(), "(while :; do echo noise; done) & echo $!; exit 4", &log)
	var end End
	testenv.Returns(t, 5*time.Second, "Run", func() { end = h.New(spec).Run() })
	if end.Exit != 4 {
		t.Fatalf("%+v", end)
	}
}

func TestServiceGoesOnBesideCommands(t *testing.T) {
	h := newHost(t, Options{})
	dir := t.TempDir()
	var log buffer
	exited := make(chan End, 1)
	service := shell(t.TempDir(), "cd "+dir+`; setsid sh -c 'echo $$ > daemon; while :; do sleep 1; done' & env -i setsid sleep 300 & echo $! > bare
		while ! [ -s daemon ]; do :; done; echo set up`, &log)
	service.Env = []string{"PATH=/usr/bin:/bin", sharedVariable + dir}
	service.Mark, service.Service, service.Exited = "", true, func(e End) { exited <- e }
	p := h.New(service)
	done := make(chan struct{})
	go func() { defer close(done); p.Run() }()
	if end := <-exited; end.Exit != 0 {
		t.Fatalf("%+v %s", end, log.String())
	}
	for range 3 {
		var log buffer
		if end := h.New(shell(dir, orphanScripts["double fork"], &log)).Run(); end.Exit != 0 {
			t.Fatalf("%+v %s", end, log.String())
		}
		if pid := pids(t, dir+"/pids")[0]; alive(pid) {
			t.Fatalf("the command's %d is alive", pid)
		}
		_ = os.Remove(dir + "/pids")
	}
	daemons := append(pids(t, dir+"/daemon"), pids(t, dir+"/bare")...)
	for _, pid := range daemons {
		if !alive(pid) {
			t.Fatalf("the service's %d is gone", pid)
		}
	}
	p.Stop(CauseCancel)
	<-done
	h.mu.Lock()
	h.service, h.kept = nil, map[int]uint64{}
	h.mu.Unlock()
	h.clear(nil)
	for _, pid := range daemons {
		if alive(pid) {
			t.Fatalf("%d is alive", pid)
		}
	}
}

func TestCommandsAtTheSameTimeKeepTheirOwn(t *testing.T) {
	h := newHost(t, Options{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			dir := t.TempDir()
			for range 5 {
				var log buffer
				spec := shell(dir, `setsid sleep 300 & child=$!; echo $child > pids; sleep 0.0`+strconv.Itoa(i)+`; kill -0 $child && echo kept`, &log)
				spec.Mark = markName + strconv.Itoa(i)
				spec.Env[1] = spec.Mark
				end := h.New(spec).Run()
				if end.Exit != 0 || log.String() != "kept\n" {
					t.Errorf("%d: %+v %q", i, end, log.String())
				}
				if pid := pids(t, dir+"/pids")[0]; alive(pid) {
					t.Errorf("%d: %d is alive", i, pid)
				}
			}
		})
	}
	all.Wait()
}

func TestAnOrphanThatHidesMakesTheHostDirtyUntilItIsIdle(t *testing.T) {
	h := newHost(t, Options{})
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/other", 0o700); err != nil {
		t.Fatal(err)
	}
	var log, log2 buffer
	long := h.New(func() Spec {
		s := shell(dir, "echo ready; while ! [ -e go ]; do sleep 0.01; done", &log)
		s.Mark = markName + "long"
		s.Env[1] = s.Mark
		return s
	}())
	ended := make(chan End)
	go func() { ended <- long.Run() }()
	testenv.Eventually(t, "the other command", func() bool { return log.String() != "" })
	if end := h.New(shell(dir+"/other", "(cd /; setsid env -i /bin/sleep 300 & echo $! > "+dir+"/pids); sleep 0.05", &log2)).Run(); end.Exit != 0 {
		t.Fatalf("%+v %s", end, log2.String())
	}
	pid := pids(t, dir+"/pids")[0]
	if !h.Dirty() || !alive(pid) {
		t.Fatalf("dirty %v, the orphan alive %v", h.Dirty(), alive(pid))
	}
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-ended
	if h.Dirty() || alive(pid) {
		t.Fatalf("when idle: dirty %v, the orphan alive %v", h.Dirty(), alive(pid))
	}
}

func TestOthersUseOsExecUndisturbed(t *testing.T) {
	h := newHost(t, Options{})
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exec.CommandContext(t.Context(), "sh", "-c", "sleep 0.002").Run(); err != nil {
					t.Errorf("os/exec: %v", err)
					return
				}
			}
		})
	}
	dir := t.TempDir()
	for range 40 {
		h.Reap()
		if end := h.New(shell(dir, orphanScripts["background"], &buffer{})).Run(); end.Exit != 0 {
			t.Errorf("%+v", end)
		}
	}
	close(stop)
	others.Wait()
}

func TestReapTakesOrphansThatEnd(t *testing.T) {
	h := newHost(t, Options{})
	dir := t.TempDir()
	p := h.New(shell(dir, `for i in 1 2 3 4 5; do (setsid true &); done; touch made; while ! [ -e go ]; do sleep 0.01; done`, &buffer{}))
	ended := make(chan End)
	go func() { ended <- p.Run() }()
	testenv.Eventually(t, "the orphans", func() bool { _, err := os.Stat(dir + "/made"); return err == nil })
	testenv.Eventually(t, "all to be reaped", func() bool { h.Reap(); return len(h.orphans()) == 0 })
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if end := <-ended; end.Exit != 0 {
		t.Fatalf("%+v", end)
	}
}

// TestKernelsThatHaveLess does without pidfds and lists of children.
func TestKernelsThatHaveLess(t *testing.T) {
	h := newHost(t, Options{})
	_ = h.list.close()
	h.noPidfd, h.list = true, childList{fd: -1}
	dir := t.TempDir()
	for _, name := range []string{"background", "double fork", "session"} {
		var log buffer
		if end := h.New(shell(dir, orphanScripts[name]+"; exit 3", &log)).Run(); end.Exit != 3 {
			t.Fatalf("%s: %+v %s", name, end, log.String())
		}
		for _, pid := range pids(t, filepath.Join(dir, "pids")) {
			if alive(pid) {
				t.Errorf("%s: %d is alive", name, pid)
			}
		}
		_ = os.Remove(filepath.Join(dir, "pids"))
	}
	spec := shell(dir, "sleep 300", &buffer{})
	spec.Timeout = 20 * time.Millisecond
	if end := h.New(spec).Run(); end.Cause != CauseTimeout {
		t.Fatalf("%+v", end)
	}
}
