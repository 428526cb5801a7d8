package local

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"davit/internal/archive"
	"davit/internal/faas"
)

// RunnerUID is the user and group of runners if the gateway is root.
const RunnerUID = 65532

// stopGrace is how long a runner has between SIGTERM and SIGKILL.
const stopGrace = 10 * time.Second

// Options configure a Launcher.
type Options struct {
	RunnerBinary string                                                       // the davit-runner program
	Dir          string                                                       // the launcher's own folder, see ChooseDir
	Gateways     func() []string                                              // host:port each, where runners dial in
	Token        func(faas.RevisionRef) string                                // a revision's runner token
	Source       func(context.Context, *faas.Revision) (io.ReadCloser, error) // the stored source of a revision
	Limits       archive.Limits                                               // of sources
	Hide         []string                                                     // folders that no runner may read
	Path         string                                                       // PATH of runners; "": the usual system folders
	NoLandlock   bool                                                         // leave commands unconfined although the kernel could
	Log          *slog.Logger
	Keep         func(sum string) bool // which sources are to stay; nil: all
}

// Launcher starts and ends the runner processes of one gateway on this machine. Its methods are safe for concurrent
// use.
type Launcher struct {
	o        Options
	log      *slog.Logger
	layout   layout
	binary   string // path of the copy of the runner program
	asRoot   bool
	landlock int // ABI version; 0: the kernel has none, or it is not wanted
	sources  *sources
	exits    exits

	forking sync.RWMutex // read: from the fork until the pid is set; write: during a search for orphans

	mu      sync.Mutex
	closing bool
	runners map[faas.RunnerID]*process
	jobs    map[faas.InvocationID]*process
	alive   sync.WaitGroup
	locks   []*os.File // of this launcher's folder and of the folders it took over
}

// removeProcess removes a process from l.runners and l.jobs.
func (l *Launcher) removeProcess(p *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runners, p.record.Runner)
	if l.jobs[p.record.Invocation] == p {
		delete(l.jobs, p.record.Invocation)
	}
}

// layout is the folders below Options.Dir.
type layout struct {
	bin     string // copies of the runner program
	sources string // unpacked sources by checksum
	run     string // this launcher's runners; beside it those of others
}

// process is one runner process: starting, running or just ended.
type process struct {
	record   processRecord
	dir      string // its own, with the record beside it as dir + ".json"
	stderr   *lines // nil for one that an earlier gateway started
	joined   bool   // it dialled in, or may have done so before it was taken over; guarded by Launcher.mu
	unwanted bool   // Stop was called for its invocation; guarded by Launcher.mu

	begun  chan struct{} // closed when the start succeeded or failed
	err    error         // of the start; read after begun
	pid    atomic.Int64  // 0 before it is forked
	handle handle        // set before begun is closed, when err is nil

	mu      sync.Mutex
	stopped bool
	killer  *time.Timer
	gone    bool
}

// handle is a process of this machine, a child or not.
type handle interface {
	// Signal sends sig to the process, never to another process that got its pid.
	Signal(sig syscall.Signal) error
	// Wait returns how the process ended, once it is gone.
	Wait() ending
}

// ending is how a process ended.
type ending struct {
	text    string // "exit status 3", "signal: killed"
	orderly bool   // exit status 0
	code    int    // -1 when killed by a signal, or unknown
}

// child is a process that this gateway started.
type child struct{ cmd *exec.Cmd }

// processRecord is the data that a later gateway needs of a runner that outlives this gateway. The pid alone is not
// enough, because the kernel gives a pid again.
type processRecord struct {
	Runner     faas.RunnerID       `json:"runner"`
	Function   faas.FunctionName   `json:"function"`
	Revision   faas.RevisionNumber `json:"revision"`
	Start      faas.Start          `json:"start"`
	Invocation faas.InvocationID   `json:"invocation,omitempty"`
	Source     string              `json:"source_sha256,omitempty"`
	PID        int                 `json:"pid"`
	StartTime  uint64              `json:"start_time"` // of the process, in clock ticks since boot
	Boot       string              `json:"boot_id"`
}

// sources are the unpacked sources on this machine, in folders named by their checksum.
type sources struct {
	path string

	mu      sync.Mutex
	asked   map[string]time.Time // when a source was last requested
	filling map[string]*filling
}

// filling is a source that one call of Prepare unpacks; other calls wait for done.
type filling struct {
	done chan struct{}
	err  error
}
