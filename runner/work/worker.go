package work

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/command"
	"davit/runner/form"
	"davit/runner/result"
	"davit/runner/scratch"
	"davit/runner/transfer"
	"davit/runner/workspace"
)

const (
	cleaningWait = 500 * time.Millisecond // that Take waits for a slot that is being cleaned
	slotsEvery   = 5 * time.Second        // an event tells the free slots
	reapEvery    = time.Second
)

// Options are what a Worker needs beside its launch.
type Options struct {
	Log   *slog.Logger     // nil: discarded
	HTTP  *http.Client     // for the signed URLs; nil: one with sensible timeouts
	Now   func() time.Time // nil: time.Now
	Grace time.Duration    // between SIGTERM and SIGKILL; 0: 10 s
	Path  string           // PATH of the commands; "": a standard one

	Parts  Parts // for objects that are too large for one PUT; nil: none is
	OnePut int64 // bytes of an object that one PUT takes; 0: 5 GiB
	Behind Behind
}

// Worker has the slots of one runner. Its methods may be called at the same time.
type Worker struct {
	launch  task.Launch
	log     *slog.Logger
	now     func() time.Time
	client  *transfer.Client
	parts   Parts
	onePut  int64
	backlog *backlog
	host    *command.Host
	zipper  *result.Zipper
	source  *workspace.Source
	common  *workspace.Common
	base    []string // of every environment
	limit   int64    // of arguments and environment
	scratch string
	shared  string
	starter *starter

	life    context.Context //nolint:containedctx // of what goes on in the background, until Close
	end     context.CancelFunc
	tasks   sync.WaitGroup
	uploads chan struct{} // a token for each upload at a time

	mu       sync.Mutex
	slots    []*slot // free ones
	cleaning int
	cleaned  chan struct{} // closed when a slot was cleaned; nil: nobody waits
	calls    map[faas.InvocationID]*Call
	accepted int // in all its life
	draining bool
	closed   bool

	commonUsed bool // since the common folders were cleaned

	feed     feed
	done     chan struct{}
	doneOnce sync.Once
}

// slot is room for one call.
type slot struct {
	room   *workspace.Room
	places []string // the variables that name its folders
}

// single reports whether the worker takes one task in its life.
func (w *Worker) single() bool { return w.launch.Start != faas.StartWarm }

func (w *Worker) free() int {
	if w.draining {
		return 0
	}
	return len(w.slots)
}

// The kinds of answers.
const (
	kindZip  = "zip"
	kindFile = "file"
)

// resultFiles are what a command gave, where it is kept.
type resultFiles struct {
	zip      *scratch.File // also when the answer is a file, for the store
	out      *scratch.File // stdout, when that is the result
	raw      *os.File      // the one file, when that is the answer
	rawSize  int64
	kind     string
	filename string
}

// Behind bounds what has ended and is still to be uploaded. While it is more, a call
// waits before its command is started, so that calls go on at the store's pace and
// scratch does not fill. A single call may be larger. Zero values mean the defaults.
type Behind struct {
	Calls    int           // 256
	Bytes    int64         // of inputs, results and logs; 2 GiB
	Patience time.Duration // of a call that waits while no upload ends; 1 min
}

// backlog counts what is still to be uploaded.
type backlog struct {
	most Behind

	mu    sync.Mutex
	calls int
	bytes int64
	moved chan struct{} // closed when an upload ended; nil: nobody waits
}

// Call is one invocation on this runner. Its methods may be called at the same time.
type Call struct {
	w    *Worker
	id   faas.InvocationID
	slot *slot // until it is given back

	life context.Context //nolint:containedctx // of the call: until it is cancelled or the worker closes
	end  context.CancelCauseFunc

	// Set by Accept, before the call is accepted; then only read.
	task  *task.Task
	input *input
	log   *scratch.File

	uploads uploads // after Accept, its own goroutine's and under mu

	mu       sync.Mutex
	accepted bool
	givenUp  bool
	record   faas.Invocation
	process  *command.Process
	started  time.Time // of the command, or when it would have been
	outcome  *task.Outcome
	answer   resultFiles   // with outcome
	answered chan struct{} // closed when outcome is there
	ended    bool          // the outcome is complete
	retired  bool          // uploads are done or given up
	acked    bool
	readers  int  // of answers, and those who wait for one
	expected bool // one of them is who posted the call, and has not asked yet
	expiry   *time.Timer
}

// input is what a caller sent.
type input struct {
	form  *form.Input
	fault error // what is wrong with it; it is committed all the same
	raw   sink  // nil: it is still to be fetched
	sum   string
}

// feed gives each event to each reader, in order. Its worker's mutex guards it.
type feed struct {
	seq     int64
	failed  *task.Event // that the start process failed
	readers map[*reader]bool
}

type reader struct {
	waiting []task.Event
	slow    bool
	more    chan struct{} // holds a token when something waits
}

// Parts has a gateway arrange an upload that is too large for one PUT. Its methods try
// again until ctx ends, or it is no use.
type Parts interface {
	BeginParts(ctx context.Context, id faas.InvocationID, w task.PartsWanted) (*task.Parts, error)
	CompleteParts(ctx context.Context, id faas.InvocationID, done task.PartsDone) error
}

// starter runs the start process and knows whether calls may run.
type starter struct {
	w       *Worker
	spec    *faas.StartProcess // nil: there is none
	room    *workspace.Room
	process *command.Process
	log     tail
	settled chan struct{} // closed when it is ready or has failed

	mu     sync.Mutex
	ready  bool
	failed *StartError
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// uploads is how far the storing of a call is; the call's mutex guards it.
type uploads struct {
	must   bool // keep, whatever the task says
	spare  bool // do not, unless a caller was told so: the store is too far behind
	begun  bool // the input is being stored
	stored bool // it is stored
	timer  *time.Timer
	done   sync.WaitGroup // the input's upload
}

// release gives it up.
func (r *resultFiles) release() {
	for _, f := range []*scratch.File{r.zip, r.out} {
		if f != nil {
			f.Release()
		}
	}
	if r.raw != nil {
		_ = r.raw.Close() // a Body that reads it has it duplicated
	}
}
