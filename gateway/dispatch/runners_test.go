package dispatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/park"
	"davit/runner/work"
)

// runners is a launcher whose runners live in this process and run real commands.
type runners struct {
	t      *testing.T
	dir    string
	addr   string
	exited func(Exit)
	onePut int64
	apart  bool // each in a process of its own: one that runs commands takes all children for its own

	held    map[faas.Start]chan struct{} // runners begin once it is closed
	refuses func(faas.Start) bool        // runners take no call
	endless bool                         // runners that are to be ended go on

	mu        sync.Mutex
	running   map[faas.RunnerID]*inProcess
	broken    map[faas.RevisionRef]error // what launching fails with
	crashes   map[faas.RevisionRef]bool  // runners end before they dial in
	mute      map[faas.RevisionRef]bool  // runners never dial in
	started   map[faas.RevisionRef]int
	made      int // Jobs
	explained map[faas.RunnerID]loss
	wg        sync.WaitGroup
}

type inProcess struct {
	ref    faas.RevisionRef
	launch task.Launch
	stop   context.CancelFunc
}

func (l *runners) Launch(_ context.Context, rev *faas.Revision, id faas.InvocationID, _ time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.running {
		if p.launch.Invocation == id {
			return nil
		}
	}
	l.start(rev, faas.StartJob, id)
	return nil
}

func (l *runners) Stop(_ context.Context, id faas.InvocationID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.running {
		if p.launch.Invocation == id {
			p.stop()
		}
	}
	return nil
}

func (l *runners) Scale(_ context.Context, rev *faas.Revision, start faas.Start, n int) error {
	l.mu.Lock()
	err := l.broken[rev.Ref()]
	l.mu.Unlock()
	if err != nil {
		return err
	}
	for l.Running(rev.Ref(), start) < n {
		l.mu.Lock()
		l.start(rev, start, "")
		l.mu.Unlock()
	}
	return nil
}

func (l *runners) Running(ref faas.RevisionRef, start faas.Start) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, p := range l.running {
		if p.ref == ref && p.launch.Start == start {
			n++
		}
	}
	return n
}

func (l *runners) Counts(runner faas.RunnerID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running[runner] != nil
}

func (l *runners) End(_ context.Context, runner faas.RunnerID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.running[runner]; p != nil && !l.endless {
		p.stop()
	}
	return nil
}

// Explain knows what explained says.
func (l *runners) Explain(runner faas.RunnerID) (faas.Reason, string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	told, known := l.explained[runner]
	return told.reason, told.detail, known
}

// Retire ends those that never dial in; the rig's others dial in at once.
func (l *runners) Retire(ref faas.RevisionRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.running {
		if p.ref == ref && l.mute[ref] {
			p.stop()
		}
	}
}

// launches counts the runners of a revision that were ever started.
func (l *runners) launches(ref faas.RevisionRef) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.started[ref]
}

// jobs counts the Jobs that were ever made.
func (l *runners) jobs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

// start runs a runner; l.mu is held.
func (l *runners) start(rev *faas.Revision, start faas.Start, id faas.InvocationID) {
	launch := task.Launch{
		Runner: faas.RunnerID(uuid.NewString()), Function: rev.Function, Revision: rev.Number, Start: start, Invocation: id,
		Token: "token", Gateways: []string{l.addr}, Slots: 1, Dir: filepath.Join(l.dir, "runners", uuid.NewString()), Env: rev.Spec.Env,
		StartProcess: rev.Spec.Start, StartTimeout: rev.Spec.Timeout,
	}
	ctx, stop := context.WithCancel(context.Background())
	if l.running == nil {
		l.running = map[faas.RunnerID]*inProcess{}
		l.started = map[faas.RevisionRef]int{}
	}
	l.running[launch.Runner] = &inProcess{rev.Ref(), launch, stop}
	l.started[rev.Ref()]++
	if start == faas.StartJob {
		l.made++
	}
	crashes, mute, held := l.crashes[rev.Ref()], l.mute[rev.Ref()], l.held[start]
	l.wg.Go(func() {
		defer stop()
		if held != nil {
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		exit := Exit{Runner: launch.Runner, Invocation: id, Start: start, Ref: rev.Ref()}
		switch {
		case crashes:
			exit.Reason, exit.Detail = faas.ReasonRunnerLost, "it crashed"
		case mute:
			<-ctx.Done()
		default:
			exit.Reason, exit.Detail = l.run(ctx, launch)
		}
		l.mu.Lock()
		delete(l.running, launch.Runner)
		l.mu.Unlock()
		l.exited(exit)
	})
}

// run is a runner's life, and what its launcher knows of its end.
func (l *runners) run(ctx context.Context, launch task.Launch) (faas.Reason, string) {
	var err error
	if l.apart {
		err = runApart(ctx, launch)
	} else {
		err = runIn(ctx, launch, l.onePut, l.refuses)
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return "", ""
	case errors.Is(err, park.ErrStart):
		return faas.ReasonStartFailed, err.Error()
	}
	l.t.Errorf("runner: %v", err)
	return faas.ReasonRunnerLost, err.Error()
}

func (l *runners) stopAll() {
	l.mu.Lock()
	for _, p := range l.running {
		p.stop()
	}
	l.mu.Unlock()
	l.wg.Wait()
}

func runIn(ctx context.Context, launch task.Launch, onePut int64, refuses func(faas.Start) bool) (err error) {
	if err := os.MkdirAll(launch.Dir, 0o700); err != nil {
		return err
	}
	hello := task.Hello{Runner: launch.Runner, Function: launch.Function, Revision: launch.Revision, Start: launch.Start, Invocation: launch.Invocation, Slots: 1}
	desk := park.NewDesk(hello.Ref(), launch.Token)
	w, err := work.New(launch, work.Options{Grace: 100 * time.Millisecond, Parts: desk, OnePut: onePut})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return park.Run(ctx, parked{w, func() bool { return refuses != nil && refuses(launch.Start) }}, park.Options{
		Hello: hello, Desk: desk,
		Token: launch.Token, Gateways: launch.Gateways, Terms: park.Terms{Drain: 100 * time.Millisecond},
	})
}

// parked is a worker as park sees it.
type parked struct {
	*work.Worker
	refuses func() bool
}

func (p parked) Take(id faas.InvocationID) (park.Call, error) {
	if p.refuses() {
		return nil, work.ErrBusy
	}
	c, err := p.Worker.Take(id)
	return parkedCall{c}, err
}

func (p parked) Find(id faas.InvocationID) (park.Call, bool) {
	c, held := p.Worker.Find(id)
	return parkedCall{c}, held
}

type parkedCall struct{ *work.Call }

func (c parkedCall) Answer(ctx context.Context) (*park.Answer, error) {
	a, err := c.Call.Answer(ctx)
	if err != nil {
		return nil, err
	}
	answer := &park.Answer{Outcome: a.Outcome, Kind: a.Kind, Filename: a.Filename}
	if a.Body != nil {
		answer.Body = a.Body
	}
	return answer, nil
}
