package kube

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"davit/internal/faas"
)

const (
	createAtOnce = 16 // Jobs
)

// Scale creates Jobs of standby or warm runners of a revision until n are running. It never ends a runner: to scale
// down, drain runners through the hub. Gateways that call Scale alike at the same time create the same Jobs.
func (l *Launcher) Scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error {
	err := l.scale(ctx, rev, start, n)
	return refusal(fmt.Sprintf("no %s runner of %s could be started", start, rev.Ref()), err)
}

func (l *Launcher) scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error {
	if err := l.view.await(ctx); err != nil {
		return err
	}
	l.scaling.Lock()
	defer l.scaling.Unlock()
	names := l.missing(rev.Ref(), start, n)
	if len(names) == 0 {
		return nil
	}
	if err := l.secrets.ensureToken(ctx, rev.Ref()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(createAtOnce)
	for _, name := range names {
		group.Go(func() error {
			job, err := jobOf(name, rev, start, "", 0, &l.options)
			if err != nil {
				return err
			}
			if _, err = l.create(ctx, job); apierrors.IsAlreadyExists(err) {
				return nil // by another gateway
			}
			return err
		})
	}
	return group.Wait()
}

// missing returns the names of the Jobs to create so that n are running: the lowest free numbers, so that all gateways
// choose the same names.
func (l *Launcher) missing(ref faas.RevisionRef, start faas.Start, n int) []string {
	taken, running := map[string]bool{}, 0
	for _, job := range l.view.kept(keptKey(ref, start)) {
		taken[job.Name] = true
		if !l.reporter.isDone(job) {
			running++
		}
	}
	var names []string
	for i := 1; running+len(names) < n; i++ {
		if name := keptJob(ref, start, i); !taken[name] {
			names = append(names, name)
		}
	}
	return names
}

// Running counts the runners of a revision that were started that way on whichever gateway: those whose pod is not
// there yet, and not those whose pod is over.
func (l *Launcher) Running(ref faas.RevisionRef, start faas.Start) int {
	n := 0
	for _, job := range l.view.kept(keptKey(ref, start)) {
		if !l.reporter.isDone(job) {
			n++
		}
	}
	return n
}

// Counts reports true: Running counts every runner that dials in, whichever gateway started it.
func (l *Launcher) Counts(faas.RunnerID) bool { return true }

// End marks the Job of a standby or warm runner for deletion, even if the runner is busy; Run deletes the Job.
func (l *Launcher) End(_ context.Context, runner faas.RunnerID) error {
	p := l.view.pod(runner)
	if p == nil {
		return nil
	}
	if who, err := identify(p); err == nil && who.start != faas.StartJob {
		l.deletions.mark(jobName(p), jobOfPod(p))
	}
	return nil
}

// Retire marks the Jobs of a revision's standby and warm runners for deletion, unless the runner has dialled in at this
// gateway; Run deletes the Jobs. The hub drains runners that have dialled in.
func (l *Launcher) Retire(ref faas.RevisionRef) {
	for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
		for _, job := range l.view.kept(keptKey(ref, start)) {
			if !l.reporter.isDone(job) && !l.view.hasJoined(job.UID) {
				l.deletions.mark(job.Name, job.UID)
			}
		}
	}
}
