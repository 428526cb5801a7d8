package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"davit/internal/archive"
	"davit/internal/faas"
)

// RunnerUID is the user and group that runners get from a gateway that is root.
const RunnerUID = 65532

// stopGrace is how long a runner has between SIGTERM and SIGKILL.
const stopGrace = 10 * time.Second

// Options are what a Launcher needs.
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

// Launcher owns the runner processes of one gateway on this machine. Its
// methods may be called from many goroutines.
type Launcher struct {
	o        Options
	log      *slog.Logger
	layout   layout
	binary   string // the copy that runs
	asRoot   bool
	landlock int // ABI version; 0: the kernel has none, or it is not wanted
	sources  *sources

	forking sync.RWMutex // read: between fork and the note of the pid; write: while orphans are looked for

	mu      sync.Mutex
	closing bool
	runners map[faas.RunnerID]*process
	jobs    map[faas.InvocationID]*process
	alive   sync.WaitGroup
	exited  func(faas.Exit) // given to Run; nil before
	early   []faas.Exit     // of processes that ended before Run
	locks   []*os.File      // of this launcher's folder and of those it took over
}

// New makes the folders below o.Dir, puts a copy of the runner program there,
// and takes over what an earlier gateway that was killed has left: its live
// runners are counted and ended with this Launcher, the rest is removed. It
// makes this process the reaper of what its runners leave behind.
func New(o Options) (*Launcher, error) {
	l := &Launcher{
		o: o, log: o.Log, asRoot: os.Geteuid() == 0, landlock: landlockABI(o.NoLandlock),
		runners: map[faas.RunnerID]*process{}, jobs: map[faas.InvocationID]*process{},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if err := l.prepare(); err != nil {
		l.unlock()
		return nil, fmt.Errorf("prepare local launcher in %s: %w", o.Dir, err)
	}
	return l, nil
}

// Launch starts a job runner for invocation id of a revision. While that
// process lives, and Stop was not called, launching the same id again starts no other.
func (l *Launcher) Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID) error {
	if err := l.Prepare(ctx, rev); err != nil {
		return err
	}
	p, mine, err := l.reserve(rev, faas.StartJob, id)
	if err != nil {
		return err
	}
	if mine {
		l.begin(p, rev)
	}
	select {
	case <-p.begun:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Scale starts standby or warm runners of a revision until n are there. It
// never ends one: to scale down, runners are drained through the hub.
func (l *Launcher) Scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error {
	if l.Running(rev.Ref(), start) >= n {
		return nil
	}
	if err := l.Prepare(ctx, rev); err != nil {
		return err
	}
	reserved, err := l.reserveUpTo(rev, start, n)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range reserved {
		l.begin(p, rev)
		errs = append(errs, p.err)
	}
	return errors.Join(errs...)
}

// Running counts a revision's processes that were started that way and have
// not been reaped, those of an earlier gateway included.
func (l *Launcher) Running(ref faas.RevisionRef, start faas.Start) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running(ref, start)
}

func (l *Launcher) running(ref faas.RevisionRef, start faas.Start) int {
	n := 0
	for _, p := range l.runners {
		if p.record.Ref() == ref && p.record.Start == start {
			n++
		}
	}
	return n
}

// Counts reports whether Running counts a runner.
func (l *Launcher) Counts(runner faas.RunnerID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runners[runner] != nil
}

// Joined notes that a runner has dialled in; it only makes Exit.Detail say more.
func (l *Launcher) Joined(runner faas.RunnerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.runners[runner]; p != nil {
		p.joined = true
	}
}

// Stop ends the job runner of an invocation: SIGTERM now, SIGKILL 10 s later.
// It does not wait for the end; its exit is reported without the invocation,
// which by then may have another runner. Without such a process it does nothing.
func (l *Launcher) Stop(_ context.Context, id faas.InvocationID) error {
	l.mu.Lock()
	p := l.jobs[id]
	if p != nil {
		p.unwanted = true
		delete(l.jobs, id)
	}
	l.mu.Unlock()
	if p != nil {
		p.stop(stopGrace)
	}
	return nil
}

// End kills a standby or warm runner and does not wait for its end.
func (l *Launcher) End(_ context.Context, runner faas.RunnerID) error {
	l.mu.Lock()
	p := l.runners[runner]
	l.mu.Unlock()
	if p == nil || p.record.Start == faas.StartJob {
		return nil
	}
	return p.kill()
}

// Retire ends the standby and warm runners of a revision that this Launcher
// started and that have not dialled in: SIGTERM now, SIGKILL 10 s later. It does
// not wait for their end. Those that have dialled in are to be drained through the hub.
func (l *Launcher) Retire(ref faas.RevisionRef) {
	l.mu.Lock()
	var silent []*process
	for _, p := range l.runners {
		if p.record.Ref() == ref && p.record.Start != faas.StartJob && !p.joined {
			silent = append(silent, p)
		}
	}
	l.mu.Unlock()
	for _, p := range silent {
		p.stop(stopGrace)
	}
}

// Run reports the end of each process to exited, once, after it was reaped, and collects sources now and then, until ctx ends.
// Then it starts nothing more, ends all runners (SIGTERM, SIGKILL 10 s later), and returns when none is left. exited must not
// block long; the ends of processes that were taken over and ended before Run come first.
func (l *Launcher) Run(ctx context.Context, exited func(faas.Exit)) error {
	l.reportTo(exited)
	l.runCollector(ctx)
	l.mu.Lock()
	l.closing = true
	all := make([]*process, 0, len(l.runners))
	for _, p := range l.runners {
		all = append(all, p)
	}
	l.mu.Unlock()
	for _, p := range all {
		p.stop(stopGrace)
	}
	l.alive.Wait()
	l.unlock()
	return nil
}

// reportTo reports exits to exited from now on, those of before Run first.
func (l *Launcher) reportTo(exited func(faas.Exit)) {
	for {
		l.mu.Lock()
		early := l.early
		l.early = nil
		if len(early) == 0 {
			l.exited = exited
		}
		l.mu.Unlock()
		if len(early) == 0 {
			return
		}
		for _, e := range early {
			exited(e)
		}
	}
}

// report reports an exit, or keeps it for Run.
func (l *Launcher) report(e faas.Exit) {
	l.mu.Lock()
	exited := l.exited
	if exited == nil {
		l.early = append(l.early, e)
	}
	l.mu.Unlock()
	if exited != nil {
		exited(e)
	}
}

func (l *Launcher) unlock() {
	for _, f := range l.locks {
		_ = os.RemoveAll(filepath.Dir(f.Name()))
		_ = f.Close()
	}
	l.locks = nil
}

// reserve notes a process that is about to start. For a job whose process is
// there already it returns that one, and false.
func (l *Launcher) reserve(rev *faas.Revision, start faas.Start, id faas.InvocationID) (*process, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.jobs[id]; p != nil && id != "" {
		return p, false, nil
	}
	p, err := l.add(rev, start, id)
	return p, true, err
}

func (l *Launcher) reserveUpTo(rev *faas.Revision, start faas.Start, n int) ([]*process, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*process
	for l.running(rev.Ref(), start) < n {
		p, err := l.add(rev, start, "")
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (l *Launcher) add(rev *faas.Revision, start faas.Start, id faas.InvocationID) (*process, error) {
	if l.closing {
		return nil, faas.Errorf(faas.Unavailable, "the gateway is shutting down")
	}
	p := newProcess(l.layout, rev, start, id)
	l.runners[p.record.Runner] = p
	if id != "" {
		l.jobs[id] = p
	}
	l.alive.Add(1)
	return p, nil
}

// forget takes a process out of the books.
func (l *Launcher) forget(p *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runners, p.record.Runner)
	if l.jobs[p.record.Invocation] == p {
		delete(l.jobs, p.record.Invocation)
	}
}
