package local

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A runner kills the background processes of its commands. If a runner is itself killed, the launcher kills them. It
// finds them by their working directory and environment. A process that hides both is found because its parent is this
// process: the kernel gives orphans to the nearest reaper, and this process starts nothing but runners.

const (
	killRounds = 20
	killPause  = 5 * time.Millisecond
)

// killOrphans kills the processes that a runner left, in up to killRounds rounds, until a round finds none.
func (l *Launcher) killOrphans(p *process) {
	for round := range killRounds {
		if l.killOrphansOnce(p.dir) == 0 {
			return
		}
		<-time.After(killPause << min(round, 4)) // a killed process stays in /proc until the kernel removes it
	}
	l.log.Warn("cannot kill the orphaned processes of a runner", "runner", string(p.record.Runner))
}

// killOrphansOnce kills the orphans of a runner and returns how many it found. It keeps runners from starting
// meanwhile, because a runner whose pid is not set looks like an orphan.
func (l *Launcher) killOrphansOnce(dir string) int {
	l.forking.Lock()
	defer l.forking.Unlock()
	known := l.pids()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	found := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || known[pid] || pid == os.Getpid() {
			continue
		}
		s, err := readStat(pid)
		if err != nil {
			continue
		}
		mine := s.parent == os.Getpid()
		orphan := mine && (!l.asRoot || ownedByRunner(pid)) && !isRunner(pid)
		if !orphan && !usesDir(pid, dir) {
			continue
		}
		found++
		_ = syscall.Kill(pid, syscall.SIGKILL)
		if mine {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
	return found
}

// pids returns the pids of the live runners.
func (l *Launcher) pids() map[int]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[int]bool, len(l.runners))
	for _, p := range l.runners {
		out[int(p.pid.Load())] = true
	}
	return out
}

// isRunner reports whether a process is a runner of any launcher.
func isRunner(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && strings.HasPrefix(filepath.Base(exe), binaryPrefix)
}

// usesDir reports whether the working directory of a process is dir or below, or its environment names dir.
func usesDir(pid int, dir string) bool {
	proc := "/proc/" + strconv.Itoa(pid)
	if cwd, err := os.Readlink(proc + "/cwd"); err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/")) {
		return true
	}
	env, err := os.ReadFile(filepath.Clean(proc + "/environ"))
	return err == nil && bytes.Contains(env, []byte(dir+"/"))
}

func ownedByRunner(pid int) bool {
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(pid), &st) == nil && st.Uid == RunnerUID
}
