package kube

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"davit/internal/faas"
)

const (
	viewWithin   = 5 * time.Second // for the first view of the cluster
	createAtOnce = 16              // Jobs
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

// discard has a Job deleted at the next look, and counts without it from now on.
func (l *Launcher) discard(name string, uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped[uid] = l.o.Now()
	l.undone[name] = uid
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

// isDone reports whether a Job has no runner any more, or is not to have one. Its
// pods are asked first, for its own status comes later.
func (l *Launcher) isDone(job *batchv1.Job) bool {
	l.mu.Lock()
	_, stopped := l.stopped[job.UID]
	_, ended := l.ended[job.UID]
	l.mu.Unlock()
	if stopped || ended || job.DeletionTimestamp != nil {
		return true
	}
	if hasEnded(job) {
		return true
	}
	pods := l.podsOf(job.UID)
	for _, p := range pods {
		if !isOver(p) && p.DeletionTimestamp == nil {
			return false
		}
	}
	return len(pods) > 0
}

// hasEnded reports whether a Job's own status says that it has ended.
func hasEnded(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}
