package command

import (
	"io"
	"os"
	"sync"
	"time"
)

// Options are the settings of a Host.
type Options struct {
	Memory int64            // bytes that the processes of one command may use together; 0: no limit of the Host
	Grace  time.Duration    // between SIGTERM and SIGKILL; 0: Grace
	Now    func() time.Time // nil: time.Now
}

// Host runs commands and tracks the children of this process. A process has one Host.
type Host struct {
	memory  int64
	grace   time.Duration
	now     func() time.Time
	null    *os.File
	list    childList
	noPidfd bool // do not use pidfds, as on kernels before 5.4
	session int  // of this process
	oom     oomCounter

	forking sync.RWMutex // read-locked while a child is started and recorded

	mu      sync.Mutex
	running map[int]*Process // by pid, until reaped
	service *Process         // also after its end; nil: no service was started
	kept    map[int]uint64   // the service's orphans: pid → start time
	dirty   bool

	found   sync.Map // programs: name and PATH → path
	buffers sync.Pool
}

// record records a process that was just started. The caller has read-locked h.forking.
func (h *Host) record(p *Process) {
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
	Exit   int  // the exit code of a shell in this case
	TooBig bool // the arguments and the environment exceed the limit of the system
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
	CauseCancel  Cause = "cancel"  // it was cancelled
	CauseOutput  Cause = "output"  // a write to Spec.Stdout failed
	CauseMemory  Cause = "memory"  // it used more than Options.Memory
)

// Spec is a command.
type Spec struct {
	Argv    []string
	Env     []string      // all of it, with a PATH that Argv[0] is looked up in
	Dir     string        // working directory, its real path, and no other command's
	Log     io.Writer     // stdout and stderr, in order
	Stdout  io.Writer     // nil, or a second writer for stdout; the order of lines in Log is then approximate
	Timeout time.Duration // 0: none
	Mark    string        // the variable in Env that identifies its orphans, "NAME=value"

	// Service makes the command the service: after the end of its main process, Exited is called, the processes that it
	// left in the background keep running, and their output is still read.
	Service bool
	Exited  func(End)
}

// End is how a command ended.
type End struct {
	Err         *StartError // why it did not start; nil: it started
	Cause       Cause       // why the Host ended it; "": it ended by itself
	Exit        int         // its exit code; 128 + the number of the signal that killed it
	Signal      string      // the signal that killed it, for example "SIGKILL"
	OutOfMemory bool        // the system killed one of its processes for memory, and it failed
	StartedAt   time.Time
	EndedAt     time.Time
}

// Process is a command that runs or will run. Its Run is called once.
type Process struct {
	host  *Host
	spec  Spec
	pid   int
	pidfd int
	log   int // read ends of the pipes; -1: none or ended
	out   int
	kills int64 // number of processes that the system had killed for memory before the start; -1: unknown

	mu     sync.Mutex
	alive  bool // started
	cause  Cause
	ended  bool // its pid may belong to another process
	killer *time.Timer
}

// traces are the properties of an orphan that show which command started it.
type traces struct {
	stat
	environ string
	dir     string // its working directory
}
