package work

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/command"
	"davit/runner/result"
	"davit/runner/scratch"
	"davit/runner/workspace"
)

const (
	cleaningWait = 500 * time.Millisecond // how long Take waits for a slot that is being cleaned
	slotsEvery   = 5 * time.Second        // between two events with the free slots
	reapEvery    = time.Second
)

// Options are the settings of a Worker that are not in its launch.
type Options struct {
	Log   *slog.Logger     // nil: discarded
	HTTP  *http.Client     // for the signed URLs; nil: one with sensible timeouts
	Now   func() time.Time // nil: time.Now
	Grace time.Duration    // between SIGTERM and SIGKILL; 0: 10 s
	Path  string           // PATH of the commands; "": a standard one

	Parts   Parts // for objects that are too large for one PUT; nil: all are sent in one PUT
	OnePut  int64 // the largest object for one PUT, in bytes; 0: 5 GiB
	Backlog Backlog
}

// Worker executes the tasks of one runner in its slots. Its methods may be called concurrently.
type Worker struct {
	launch   task.Launch
	log      *slog.Logger
	now      func() time.Time
	uploader *uploader
	backlog  *backlog
	host     *command.Host
	zipper   *result.Zipper
	source   *workspace.Source
	common   *workspace.Common
	base     []string // of every environment
	limit    int64    // of arguments and environment
	scratch  string
	shared   string
	starter  *starter

	life  context.Context //nolint:containedctx // of the background goroutines, until Close
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu       sync.Mutex
	slots    []*slot // free ones
	cleaning int
	cleaned  chan struct{} // closed when a slot was cleaned; nil: no Take waits
	calls    map[faas.InvocationID]*Call
	accepted int // since New
	draining bool
	closed   bool

	commonUsed bool // since the common folders were cleaned

	feed     feed
	done     chan struct{}
	doneOnce sync.Once
}

// slot is the workspace of one call at a time.
type slot struct {
	ws        *workspace.Workspace
	variables []string // the variables that name its folders
}

// single reports whether the worker takes one task in its life.
func (w *Worker) single() bool { return w.launch.Start != faas.StartWarm }

func (w *Worker) free() int {
	if w.draining {
		return 0
	}
	return len(w.slots)
}

// Call is one invocation on this runner, from its input to the Ack of its outcome. Its methods may be called
// concurrently.
type Call struct {
	w    *Worker
	id   faas.InvocationID
	slot *slot // the call's until it is cleaned

	life context.Context //nolint:containedctx // of the call, until it is cancelled or forgotten, or the worker closes
	end  context.CancelCauseFunc

	// Accept sets these before the call is accepted; they are only read after that.
	task *task.Task
	log  *scratch.File

	progress  progress
	input     input
	record    record
	execution execution
	answers   answers
	uploads   uploads
}

// execution prepares and runs the command of one call, and describes its end.
type execution struct {
	w     *Worker
	task  *task.Task
	slot  *slot
	input *input
	log   *scratch.File

	started time.Time // when the command was started, or would have been

	mu      sync.Mutex
	process *command.Process
}

// uploads decides which objects of one call are stored, and stores them.
type uploads struct {
	w      *Worker
	task   *task.Task
	log    *scratch.File
	input  *input
	record *record

	inputDone sync.WaitGroup // the input's upload

	mu          sync.Mutex
	must        bool // keep the call, whatever the task says
	fixed       bool // must is not changed any more, because the call has ended
	skipped     bool // keep the call only if it is promised, because the backlog is full
	begun       bool // the upload of the input has begun
	inputStored bool
	timer       *time.Timer // begins the upload of the input
}

// feed gives each event to each reader, in order. Worker.mu guards it.
type feed struct {
	seq     int64
	failed  *task.Event // the EventStartFailed, if the start process failed
	readers map[*reader]bool
}

type reader struct {
	waiting []task.Event
	slow    bool          // more than maxUnread events were waiting
	more    chan struct{} // has a token when an event waits
}

// starter runs the start process and makes calls wait until it is ready.
type starter struct {
	w       *Worker
	spec    *faas.StartProcess // nil: there is none
	ws      *workspace.Workspace
	process *command.Process
	log     tail
	settled chan struct{} // closed when the start process is ready or has failed

	mu     sync.Mutex
	ready  bool
	failed *StartError
}

// tail keeps the last task.LogTailBytes that were written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}
