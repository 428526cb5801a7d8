package command

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// clearTime bounds the killing of a command's orphans.
	clearTime = 5 * time.Second
	// unknownTime is how long an orphan may have no known owner: an execve, during which its environment is empty,
	// takes less.
	unknownTime = 500 * time.Millisecond
	// killAllAfter is when the Host kills every process of its container, if it is the container's init.
	killAllAfter = time.Second
)

// sharedVariable is in the environment of the service and of commands. A command's environment also has a mark.
const sharedVariable = "DAVIT_SHARED="

// recordService records the orphans of the service. It is called before a command is started, and only records while no
// command runs, because all orphans are the service's then.
func (h *Host) recordService() {
	h.mu.Lock()
	wanted := h.service != nil && !h.dirty && h.others(nil) == 0
	h.mu.Unlock()
	if !wanted || !h.anyOrphan() {
		return
	}
	for _, pid := range h.orphans() {
		if st, ok := readStat(pid); ok && st.session != h.session {
			h.mu.Lock()
			h.kept[pid] = st.started
			h.mu.Unlock()
		}
	}
}

// clear kills the orphans of p or, if p is nil, all orphans. If orphans are left after clearTime, or orphans without a
// known owner after unknownTime, the Host becomes dirty.
func (h *Host) clear(p *Process) {
	begun := time.Now()
	for pause := 50 * time.Microsecond; h.anyOrphan(); pause = min(2*pause, 5*time.Millisecond) {
		mine, nobodys := h.killOrphans(p)
		spent := time.Since(begun)
		switch {
		case !mine && !nobodys:
			h.markClean(p)
			return
		case spent > clearTime, !mine && spent > unknownTime:
			h.setDirty(true)
			return
		case spent > killAllAfter && h.onlyOne(p) && os.Getpid() == 1:
			_ = unix.Kill(-1, unix.SIGKILL)
		}
		time.Sleep(pause)
	}
	h.markClean(p)
}

// markClean marks the Host as not dirty, if p is the only process that runs.
func (h *Host) markClean(p *Process) {
	if h.Dirty() && h.onlyOne(p) {
		h.setDirty(false)
	}
}

// setDirty sets whether the Host is dirty.
func (h *Host) setDirty(dirty bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirty = dirty
}

// onlyOne reports whether p is the only process that runs and no service was started.
func (h *Host) onlyOne(p *Process) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.service == nil && h.others(p) == 0
}

// anyOrphan reports whether this process has orphans. Each call costs this one read: the kernel makes orphans children
// of the first thread.
func (h *Host) anyOrphan() bool {
	buf, _ := h.buffers.Get().(*[bufferBytes]byte)
	defer h.buffers.Put(buf)
	pids, ok := h.list.first(buf[:])
	return !ok || len(h.unknown(pids)) > 0
}

// orphans returns the children that are no command's main process. It locks forking, so that a child that is being
// started is not among them.
func (h *Host) orphans() []int {
	h.forking.Lock()
	defer h.forking.Unlock()
	return h.unknown(h.list.all())
}

func (h *Host) unknown(pids []int) []int {
	if len(pids) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []int
	for _, pid := range pids {
		if h.running[pid] == nil {
			out = append(out, pid)
		}
	}
	return out
}

// killOrphans kills the orphans of p. It reports whether there were any, and whether there were orphans without a known
// owner.
func (h *Host) killOrphans(p *Process) (mine, nobodys bool) {
	for _, pid := range h.orphans() {
		st, ok := readStat(pid)
		if !ok || st.session == h.session {
			continue
		}
		if h.reap(pid) {
			mine = true // its children may have become children of this process
			continue
		}
		switch h.ownerOf(p, pid, st) {
		case another:
		case nobody:
			nobodys = true
		case itself:
			mine = true
			if st.group == pid {
				_ = unix.Kill(-pid, unix.SIGKILL)
			}
			_ = unix.Kill(pid, unix.SIGKILL)
			h.reap(pid)
		}
	}
	return mine, nobodys
}

// owner says which command an orphan belongs to.
type owner int

const (
	another owner = iota // another command's, or the service's
	itself               // the command that is being cleared, or one that has ended
	nobody               // unknown
)

// ownerOf returns the owner of an orphan. During an execve the environment of a process is empty: an owner that is
// unknown may be known a moment later.
func (h *Host) ownerOf(p *Process, pid int, st stat) owner {
	t := traces{stat: st, environ: readEnviron(pid), dir: readDir(pid)}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.byService(pid, &t):
		h.kept[pid] = st.started
		return another
	case p != nil && p.made(&t):
		return itself
	}
	for _, other := range h.running {
		if other != p && other.made(&t) {
			return another
		}
	}
	if hasVariable(t.environ, markName) || h.others(p) == 0 {
		return itself
	}
	return nobody
}

// byService reports whether the service started an orphan. The caller holds h.mu.
func (h *Host) byService(pid int, t *traces) bool {
	if h.service == nil {
		return false
	}
	started, kept := h.kept[pid]
	return kept && started == t.started || h.service.made(t) ||
		hasVariable(t.environ, sharedVariable) && !hasVariable(t.environ, markName)
}

// made reports whether an orphan's traces show that the command started it.
func (p *Process) made(t *traces) bool {
	return t.session == p.pid || t.group == p.pid || hasVariable(t.environ, p.spec.Mark) ||
		t.dir == p.spec.Dir || strings.HasPrefix(t.dir, p.spec.Dir+"/") || t.dir == p.spec.Dir+" (deleted)"
}

// markName begins every mark.
const markName = "DAVIT_INVOCATION_ID="

// hasVariable reports whether an environment in the form of /proc/PID/environ has the variable begin. If begin ends in
// "=", any value matches.
func hasVariable(environ, begin string) bool {
	if begin == "" {
		return false
	}
	if !strings.HasSuffix(begin, "=") {
		begin += "\x00"
	}
	return strings.HasPrefix(environ, begin) || strings.Contains(environ, "\x00"+begin)
}

// reap reaps an orphan and reports whether it had ended.
func (h *Host) reap(pid int) bool {
	for {
		got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || got != pid {
			return false
		}
		h.mu.Lock()
		delete(h.kept, pid)
		h.mu.Unlock()
		return true
	}
}

// Dirty reports whether orphans are left that could not be killed or have no known owner. No more commands should be
// started then.
func (h *Host) Dirty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dirty
}

// others counts the commands that run beside p. The caller holds h.mu.
func (h *Host) others(p *Process) int {
	n := 0
	for _, other := range h.running {
		if other != p && !other.spec.Service {
			n++
		}
	}
	return n
}
