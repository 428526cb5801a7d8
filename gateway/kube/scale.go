package kube

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"davit/internal/faas"
)

const (
	createAtOnce = 16 // Jobs
)

// Scale creates Jobs of standby or warm runners of a revision until n are there. It
// never ends one: to scale down, runners are drained through the hub, and end for good. Gateways that do the
// same at the same time create the same.
func (l *Launcher) Scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error {
	err := l.scale(ctx, rev, start, n)
	return refusal(fmt.Sprintf("no %s runner of %s could be started", start, rev.Ref()), err)
}

func (l *Launcher) scale(ctx context.Context, rev *faas.Revision, start faas.Start, n int) error {
	if err := l.awaitView(ctx); err != nil {
		return err
	}
	l.scaling.Lock()
	defer l.scaling.Unlock()
	names := l.missing(rev.Ref(), start, n)
	if len(names) == 0 {
		return nil
	}
	if err := l.ensureToken(ctx, rev.Ref()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(createAtOnce)
	for _, name := range names {
		group.Go(func() error {
			job, err := l.jobOf(name, rev, start, "", 0)
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

// missing returns the names of the Jobs that are to be created so that n are there:
// the lowest that are free, so that gateways choose the same.
func (l *Launcher) missing(ref faas.RevisionRef, start faas.Start, n int) []string {
	taken, running := map[string]bool{}, 0
	for _, job := range l.jobsOf(keptKey(ref, start)) {
		taken[job.Name] = true
		if !l.isDone(job) {
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

// Running counts the runners of a revision that were started that way on whichever
// gateway: those whose pod is not there yet, and not those whose pod is over.
func (l *Launcher) Running(ref faas.RevisionRef, start faas.Start) int {
	n := 0
	for _, job := range l.jobsOf(keptKey(ref, start)) {
		if !l.isDone(job) {
			n++
		}
	}
	return n
}

// Counts reports whether Running counts a runner that has dialled in: all of them,
// whichever gateway had them started.
func (l *Launcher) Counts(faas.RunnerID) bool { return true }

// End has the Job of a standby or warm runner deleted as soon as that can be done,
// whatever the runner does.
func (l *Launcher) End(_ context.Context, runner faas.RunnerID) error {
	o, there, err := l.podView.GetStore().GetByKey(l.o.Namespace + "/" + string(runner))
	if err != nil || !there {
		return nil //nolint:nilerr // a key of that form is never an error
	}
	p := o.(*corev1.Pod)
	if who, err := identify(p); err == nil && who.start != faas.StartJob {
		l.discard(jobName(p), jobOfPod(p))
	}
	return nil
}

// Retire ends the standby and warm runners of a revision that have not dialled in
// here yet, as soon as that can be done; the others are drained through the hub.
func (l *Launcher) Retire(ref faas.RevisionRef) {
	for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
		for _, job := range l.jobsOf(keptKey(ref, start)) {
			if !l.isDone(job) && !l.hasJoined(job.UID) {
				l.discard(job.Name, job.UID)
			}
		}
	}
}

func (l *Launcher) hasJoined(job types.UID) bool {
	for _, p := range l.podsOf(job) {
		l.mu.Lock()
		joined := l.joined[faas.RunnerID(p.Name)]
		l.mu.Unlock()
		if joined {
			return true
		}
	}
	return false
}
