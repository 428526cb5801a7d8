package command

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// clearTime is how long to kill what a command left before giving up.
	clearTime = 5 * time.Second
	// doubtTime is how long a stray may be nobody's: programs change in less.
	doubtTime = 500 * time.Millisecond
	// desperateTime is when the init of a container kills all that it can see.
	desperateTime = time.Second
)

// sharedVariable is what the service's environment has; a command's has a mark beside it.
const sharedVariable = "DAVIT_SHARED="

// claim notes what the service left in the background, while no command could have:
// before a command is started.
func (h *Host) claim() {
	h.mu.Lock()
	wanted := h.service != nil && !h.dirty && h.others(nil) == 0
	h.mu.Unlock()
	if !wanted || !h.anyStray() {
		return
	}
	for _, pid := range h.strays() {
		if st, ok := readStat(pid); ok && st.session != h.session {
			h.mu.Lock()
			h.kept[pid] = st.started
			h.mu.Unlock()
		}
	}
}

// clear kills what p left behind, or, when p is nil, all that was ever left. It gives
// up after a while, and the Host is dirty then.
func (h *Host) clear(p *Process) {
	begun := time.Now()
	for pause := 50 * time.Microsecond; h.anyStray(); pause = min(2*pause, 5*time.Millisecond) {
		mine, nobodys := h.killStrays(p)
		spent := time.Since(begun)
		switch {
		case !mine && !nobodys:
			h.settle(p)
			return
		case spent > clearTime, !mine && spent > doubtTime:
			h.soil(true)
			return
		case spent > desperateTime && h.onlyOne(p) && os.Getpid() == 1:
			_ = unix.Kill(-1, unix.SIGKILL)
		}
		time.Sleep(pause)
	}
	h.settle(p)
}

// settle says that the Host is not dirty any more, if nothing else runs that could be.
func (h *Host) settle(p *Process) {
	if h.Dirty() && h.onlyOne(p) {
		h.soil(false)
	}
}

// soil says whether the Host is dirty.
func (h *Host) soil(dirty bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirty = dirty
}

// onlyOne reports whether p is the only process that runs, and there never was a service.
func (h *Host) onlyOne(p *Process) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.service == nil && h.others(p) == 0
}

// anyStray reports whether this process has children that nobody waits for. It is
// the one cost of each call. Orphans are always given to the first thread.
func (h *Host) anyStray() bool {
	buf, _ := h.buffers.Get().(*[bufferBytes]byte)
	defer h.buffers.Put(buf)
	pids, ok := h.list.first(buf[:])
	return !ok || len(h.unknown(pids)) > 0
}

// strays returns the children that nobody waits for. No process is being started meanwhile.
func (h *Host) strays() []int {
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

// killStrays kills the strays that p left. It reports whether there were any, and
// whether there were some that no command can be found for.
func (h *Host) killStrays(p *Process) (mine, nobodys bool) {
	for _, pid := range h.strays() {
		st, ok := readStat(pid)
		if !ok || st.session == h.session {
			continue
		}
		if h.reap(pid) {
			mine = true // its own children may have become ours
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

// owner is whose a stray is.
type owner int

const (
	another owner = iota // another command's, or the service's
	itself               // that of the command that was asked about, or of one that has ended
	nobody               // it cannot be told
)

// ownerOf tells whose a stray is. While a process changes its program its environment
// is empty for a moment: nobody's may be somebody's a little later.
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

// byService reports whether the service made a stray; h.mu is held.
func (h *Host) byService(pid int, t *traces) bool {
	if h.service == nil {
		return false
	}
	started, kept := h.kept[pid]
	return kept && started == t.started || h.service.made(t) ||
		hasVariable(t.environ, sharedVariable) && !hasVariable(t.environ, markName)
}

// made reports whether a stray shows that the command made it.
func (p *Process) made(t *traces) bool {
	return t.session == p.pid || t.group == p.pid || hasVariable(t.environ, p.spec.Mark) ||
		t.dir == p.spec.Dir || strings.HasPrefix(t.dir, p.spec.Dir+"/") || t.dir == p.spec.Dir+" (deleted)"
}

// markName begins every mark.
const markName = "DAVIT_INVOCATION_ID="

// hasVariable reports whether an environment, as /proc has it, has a variable that
// begins so; a mark must be the whole of it.
func hasVariable(environ, begin string) bool {
	if begin == "" {
		return false
	}
	if !strings.HasSuffix(begin, "=") {
		begin += "\x00"
	}
	return strings.HasPrefix(environ, begin) || strings.Contains(environ, "\x00"+begin)
}

// reap reaps a stray that has ended.
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

// Dirty reports whether a stray is left that no command could be found for. No
// more commands should be started then.
func (h *Host) Dirty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dirty
}

// others counts the commands that run beside p; h.mu is held.
func (h *Host) others(p *Process) int {
	n := 0
	for _, other := range h.running {
		if other != p && !other.spec.Service {
			n++
		}
	}
	return n
}
