// Package dispatchtest puts dispatch, fleet, recovery and records together on real parts, for their tests: the embedded
// Redis, a store, a hub on a real listener, and runners in the test's process that run real commands.
package dispatchtest

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

// Explanation is what a launcher knows of a runner that is out of touch.
type Explanation struct {
	Reason faas.Reason
	Detail string
}

// Runners is a launcher whose runners live in this process and run real commands.
type Runners struct {
	t      *testing.T
	dir    string
	addr   string
	exited func(faas.Exit)
	OnePut int64
	Apart  bool // each in a process of its own: one that runs commands takes all children for its own

	Owned   map[faas.Start]chan struct{} // runners begin once it is closed
	Refuses func(faas.Start) bool        // runners take no call
	Endless bool                         // runners that are to be ended go on

	mu        sync.Mutex
	running   map[faas.RunnerID]*inProcess
	Broken    map[faas.RevisionRef]error // what launching fails with
	Crashes   map[faas.RevisionRef]bool  // runners end before they dial in
	Mute      map[faas.RevisionRef]bool  // runners never dial in
	started   map[faas.RevisionRef]int
	made      int // Jobs
	Explained map[faas.RunnerID]Explanation
	wg        sync.WaitGroup
}

type inProcess struct {
	ref    faas.RevisionRef
	launch task.Launch
	stop   context.CancelFunc
}

// Launch starts a job, unless one runs for the invocation.
func (l *Runners) Launch(_ context.Context, rev *faas.Revision, id faas.InvocationID, _ time.Duration) error {
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

// Stop ends the job of an invocation.
func (l *Runners) Stop(_ context.Context, id faas.InvocationID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.running {
		if p.launch.Invocation == id {
			p.stop()
		}
	}
	return nil
}

// Scale starts kept runners until n run.
func (l *Runners) Scale(_ context.Context, rev *faas.Revision, start faas.Start, n int) error {
	l.mu.Lock()
	err := l.Broken[rev.Ref()]
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

// Running counts the runners of one revision and start.
func (l *Runners) Running(ref faas.RevisionRef, start faas.Start) int {
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

// Counts reports whether a runner runs.
func (l *Runners) Counts(runner faas.RunnerID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running[runner] != nil
}

// End ends a runner, unless Endless.
func (l *Runners) End(_ context.Context, runner faas.RunnerID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.running[runner]; p != nil && !l.Endless {
		p.stop()
	}
	return nil
}

// Explain knows what explained says.
func (l *Runners) Explain(runner faas.RunnerID) (faas.Reason, string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	told, known := l.Explained[runner]
	return told.Reason, told.Detail, known
}

// Retire ends those that never dial in; the rig's others dial in at once.
func (l *Runners) Retire(ref faas.RevisionRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.running {
		if p.ref == ref && l.Mute[ref] {
			p.stop()
		}
	}
}

// Launches counts the runners of a revision that were ever started.
func (l *Runners) Launches(ref faas.RevisionRef) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.started[ref]
}

// Jobs counts the Jobs that were ever made.
func (l *Runners) Jobs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

// start runs a runner; l.mu is held.
func (l *Runners) start(rev *faas.Revision, start faas.Start, id faas.InvocationID) {
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
	crashes, mute, held := l.Crashes[rev.Ref()], l.Mute[rev.Ref()], l.Owned[start]
	l.wg.Go(func() {
		defer stop()
		if held != nil {
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		exit := faas.Exit{Runner: launch.Runner, Invocation: id, Start: start, Ref: rev.Ref()}
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
func (l *Runners) run(ctx context.Context, launch task.Launch) (faas.Reason, string) {
	var err error
	if l.Apart {
		err = runApart(ctx, launch)
	} else {
		err = runIn(ctx, launch, l.OnePut, l.Refuses)
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

func (l *Runners) stopAll() {
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
	multipart := park.NewMultipartClient(hello.Ref(), launch.Token)
	w, err := work.New(launch, work.Options{Grace: 100 * time.Millisecond, Parts: multipart, OnePut: onePut})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return park.Run(ctx, parked{w, func() bool { return refuses != nil && refuses(launch.Start) }}, park.Options{
		Hello: hello, Multipart: multipart,
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

// Lock runs change while no runner starts.
func (l *Runners) Lock(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// Joined does nothing.
func (l *Runners) Joined(faas.RunnerID) {}
