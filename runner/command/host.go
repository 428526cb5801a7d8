package command

import (
	"io"
	"os"
	"sync"
	"time"
)

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

// StartError says why a command could not be started.
type StartError struct {
	Exit   int  // as a shell would end
	TooBig bool // its arguments and environment are more than the system takes
	Detail string
}

// Error returns the detail.
func (e *StartError) Error() string { return e.Detail }

// Grace is how long a command has between SIGTERM and SIGKILL.
const Grace = 10 * time.Second

// Cause is why a command was ended before it ended by itself.
type Cause string

// The causes.
const (
	CauseTimeout Cause = "timeout" // it ran longer than Spec.Timeout
	CauseCancel  Cause = "cancel"  // somebody asked for it
	CauseOutput  Cause = "output"  // Spec.Stdout took no more
	CauseMemory  Cause = "memory"  // it used more than Options.Memory
)

// Spec is a command.
type Spec struct {
	Argv    []string
	Env     []string      // all of it, with a PATH that Argv[0] is looked up in
	Dir     string        // working directory, its real path, and no other command's
	Log     io.Writer     // stdout and stderr, in order
	Stdout  io.Writer     // nil, or where stdout goes, too; the log's order is then only almost right
	Timeout time.Duration // 0: none
	Mark    string        // the variable that its strays are known by, "NAME=value", in Env

	// Service makes it the service: what it leaves in the background stays, and its
	// output is followed on, when the main process has ended and Exited been called.
	Service bool
	Exited  func(End)
}

// End is how a command ended.
type End struct {
	Err         *StartError // it could not be started
	Cause       Cause       // it was ended
	Exit        int         // its exit code; 128 + number when it was killed by a signal
	Signal      string      // that killed it, "SIGKILL"
	OutOfMemory bool        // the system killed one of its processes for memory, and it failed
	StartedAt   time.Time
	EndedAt     time.Time
}

// Process is a command that runs, or is about to.
type Process struct {
	host  *Host
	spec  Spec
	pid   int
	pidfd int
	log   int // read ends of the pipes; -1: none or ended
	out   int
	kills int64 // the system's kills for memory, before; -1: unknown

	mu     sync.Mutex
	alive  bool // started
	cause  Cause
	ended  bool // its pid may be another's
	killer *time.Timer
}

// traces are what a stray shows of where it comes from.
type traces struct {
	stat
	environ string
	dir     string // that it works in
}
