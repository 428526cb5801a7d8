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

// A runner kills what its commands leave in the background. One that was killed
// itself cannot: its processes are found by where they work and what their
// environment names, or, when they hide that, because the kernel gave them to
// this process as the nearest reaper.

const (
	killRounds = 20
	killPause  = 5 * time.Millisecond
)

// killLeftBehind kills the processes that a runner left, until none is found.
func (l *Launcher) killLeftBehind(p *process) {
	for round := range killRounds {
		if l.killRound(p.dir) == 0 {
			return
		}
		<-time.After(killPause << min(round, 4)) // they are dead at once, but gone only when the kernel gets to it
	}
	l.log.Warn("processes of a runner that is gone cannot be killed", "runner", string(p.record.Runner))
}

// killRound kills what it finds, while no runner is being started.
func (l *Launcher) killRound(dir string) int {
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
		orphan := mine && l.asRoot && ownedByRunner(pid) && !isRunner(pid)
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

// pids are of the runners that live.
func (l *Launcher) pids() map[int]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[int]bool, len(l.runners))
	for _, p := range l.runners {
		out[int(p.pid.Load())] = true
	}
	return out
}

// isRunner reports whether a process is a runner, of whichever launcher.
func isRunner(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && strings.HasPrefix(filepath.Base(exe), binaryPrefix)
}

// usesDir reports whether a process works in dir or names it in its environment.
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
