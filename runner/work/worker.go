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

// Worker executes the tasks of one runner in its slots. Its methods may be called
// concurrently.
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

	life    context.Context //nolint:containedctx // of the background goroutines, until Close
	end     context.CancelFunc
	tasks   sync.WaitGroup
	uploads chan struct{} // a token for each upload that is under way

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
	room      *workspace.Room
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

// The kinds of answers.
const (
	kindZip  = "zip"
	kindFile = "file"
)

// resultFiles are the files of an answer.
type resultFiles struct {
	zip      *scratch.File // for the store; also when the answer is a file
	out      *scratch.File // stdout, if it is the result
	raw      *os.File      // the only file, if it is the answer
	rawSize  int64
	kind     string
	filename string
}

// Backlog bounds the calls that have ended and are not yet uploaded. While a bound is
// reached, a call waits before its command is started, so that scratch does not fill: the
// runner runs calls as fast as the store takes them. A single call may exceed Bytes. A
// zero value means the default, given with each field.
type Backlog struct {
	Calls    int           // 256
	Bytes    int64         // of inputs, results and logs; 2 GiB
	Patience time.Duration // how long a call waits while no upload ends; 1 min
}

// backlog counts the calls that are not yet uploaded.
type backlog struct {
	most Backlog

	mu    sync.Mutex
	calls int
	bytes int64
	moved chan struct{} // closed when an upload ended; nil: no call waits
}

// Call is one invocation on this runner. Its methods may be called concurrently.
type Call struct {
	w    *Worker
	id   faas.InvocationID
	slot *slot // the call's until it is cleaned

	life context.Context //nolint:containedctx // of the call, until it is cancelled or forgotten, or the worker closes
	end  context.CancelCauseFunc

	// Accept sets these before the call is accepted; they are only read after that.
	task  *task.Task
	input *input
	log   *scratch.File

	uploads uploads // guarded by mu

	mu       sync.Mutex
	accepted bool
	givenUp  bool
	record   faas.Invocation
	process  *command.Process
	started  time.Time // when the command was started, or would have been
	outcome  *task.Outcome
	answer   resultFiles   // with outcome
	answered chan struct{} // closed when outcome is set
	ended    bool          // the outcome is complete
	retired  bool          // the uploads have ended
	acked    bool
	readers  int  // readers of an answer and goroutines that wait for one
	expected bool // one reader is the gateway that posted the call and has not called Answer yet
	expiry   *time.Timer
}

// input is what a caller sent.
type input struct {
	form  *form.Input
	fault error // the input is malformed; the call is committed all the same
	raw   sink  // nil: the input is still to be fetched
	sum   string
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

// Parts asks a gateway for the URLs of an upload that is too large for one PUT. Its
// methods try again until ctx ends or a gateway refuses for good.
type Parts interface {
	BeginParts(ctx context.Context, id faas.InvocationID, w task.PartsWanted) (*task.Parts, error)
	CompleteParts(ctx context.Context, id faas.InvocationID, done task.PartsDone) error
}

// starter runs the start process and makes calls wait until it is ready.
type starter struct {
	w       *Worker
	spec    *faas.StartProcess // nil: there is none
	room    *workspace.Room
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

// uploads is the state of a call's uploads. Call.mu guards it.
type uploads struct {
	must    bool // keep the call, whatever the task says
	skipped bool // keep the call only if a caller was promised it, because the backlog is full
	begun   bool // the upload of the input has begun
	stored  bool // the input is stored
	timer   *time.Timer
	done    sync.WaitGroup // the input's upload
}

// release releases the files.
func (r *resultFiles) release() {
	for _, f := range []*scratch.File{r.zip, r.out} {
		if f != nil {
			f.Release()
		}
	}
	if r.raw != nil {
		_ = r.raw.Close() // a Body still reads it only if the worker is closed, and then fails
	}
}
