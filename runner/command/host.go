package command

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bufferBytes is how much is read at a time.
const bufferBytes = 32 << 10

// Options are what a Host needs.
type Options struct {
	Memory int64            // bytes that one command's processes may use together; 0: as the system allows
	Grace  time.Duration    // between SIGTERM and SIGKILL; 0: the Grace of all runners
	Now    func() time.Time // nil: time.Now
}

// Host runs commands and keeps track of this process's children. There is one in a process.
type Host struct {
	memory  int64
	grace   time.Duration
	now     func() time.Time
	null    *os.File
	list    childList
	blind   bool // do without pidfds, as on kernels before 5.4
	session int  // this process's own
	oom     oomCounter

	forking sync.RWMutex // held for reading while a child is made and noted

	mu      sync.Mutex
	running map[int]*Process // by pid, until reaped
	service *Process         // also when it has ended; nil: there never was one
	kept    map[int]uint64   // the service's strays: pid → start time
	dirty   bool

	found   sync.Map // programs: name and PATH → path
	buffers sync.Pool
}

// NewHost returns a Host. Close it.
func NewHost(o Options) (*Host, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open null device: %w", err)
	}
	session, err := unix.Getsid(0)
	if err != nil {
		_ = null.Close()
		return nil, fmt.Errorf("find own session: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Grace == 0 {
		o.Grace = Grace
	}
	h := &Host{
		memory: o.Memory, grace: o.Grace, now: o.Now, null: null, session: session,
		list: openChildList(), oom: openOOMCounter(),
		running: map[int]*Process{}, kept: map[int]uint64{},
	}
	h.buffers.New = func() any { return new([bufferBytes]byte) }
	return h, nil
}

// Dirty reports whether a stray is left that no command could be found for. No
// more commands should be started then.
func (h *Host) Dirty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dirty
}

// Reap reaps strays that have ended by themselves. It is for a slow loop.
func (h *Host) Reap() {
	for _, pid := range h.strays() {
		if st, ok := readStat(pid); ok && st.session != h.session && st.state == 'Z' {
			h.reap(pid)
		}
	}
}

// Close kills everything that is left, the service's strays too. Commands must
// have ended: their Run has returned.
func (h *Host) Close() error {
	h.mu.Lock()
	h.service, h.kept = nil, map[int]uint64{}
	h.mu.Unlock()
	h.clear(nil)
	return errors.Join(h.null.Close(), h.list.close(), h.oom.close())
}

// note registers a process that was just started; h.forking is held.
func (h *Host) note(p *Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[p.pid] = p
	if p.spec.Service {
		h.service = p
	}
}

func (h *Host) forget(p *Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, p.pid)
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
