package local

import (
	"context"
	"errors"

	"davit/internal/faas"
)

// Launch starts a job runner for invocation id of a revision. While that process lives, and Stop was not called,
// launching the same id again starts no other process.
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

// Scale starts standby or warm runners of a revision until n are running. It never ends a runner: to scale down, drain
// runners through the hub.
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

// Running returns the number of a revision's processes of one start that were not reaped, processes of an earlier
// gateway included.
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

// Joined marks a runner as dialled in: Retire does not end it, and Exit.Detail does not name it as a runner that ended
// before it dialled in.
func (l *Launcher) Joined(runner faas.RunnerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.runners[runner]; p != nil {
		p.joined = true
	}
}

// Stop ends the job runner of an invocation: SIGTERM now, SIGKILL 10 s later. It does not wait for the end; its exit is
// reported without the invocation, which by then may have another runner. Without such a process it does nothing.
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

// Retire ends the standby and warm runners of a revision that this Launcher started and that have not dialled in:
// SIGTERM now, SIGKILL 10 s later. It does not wait for their end. The hub drains runners that have dialled in.
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

// reserve adds a process that is about to start. If the invocation already has a process, reserve returns that process,
// and false.
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
		return nil, faas.Errorf(faas.Unavailable, "no runner is started, because the gateway is shutting down")
	}
	p := newProcess(l.layout, rev, start, id)
	l.runners[p.record.Runner] = p
	if id != "" {
		l.jobs[id] = p
	}
	l.alive.Add(1)
	return p, nil
}
