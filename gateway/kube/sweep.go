package kube

import (
	"context"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	sweepEvery = time.Minute
	// sweepAfter is the least age of a Job that the sweep deletes, because the gateway that
	// created the Job may not have recorded its invocation yet.
	sweepAfter = 2 * time.Minute
)

// runSweep deletes orphaned Jobs, on the leader only. A Job is orphaned when its gateway died before it recorded or deleted it.
func (l *Launcher) runSweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if l.hasView() {
			l.sweepIfLeading(ctx)
			l.sweepTokens(ctx)
		}
	}
}

// sweepIfLeading sweeps Jobs if this gateway leads the fleet.
func (l *Launcher) sweepIfLeading(ctx context.Context) {
	if l.wanted.Leads() {
		l.sweep(ctx)
	}
}

// sweepTokens calls Forget for each deleted revision whose token this gateway wrote, or
// that Forget could not delete before because it had runners.
func (l *Launcher) sweepTokens(ctx context.Context) {
	l.mu.Lock()
	refs := slices.Collect(maps.Keys(l.tokens))
	l.mu.Unlock()
	for _, ref := range refs {
		there, err := l.wanted.HasRevision(ctx, ref)
		if err == nil && !there {
			err = l.Forget(ctx, ref)
		}
		if err != nil {
			l.log.Warn("cannot remove the token of a deleted revision; will try again", "revision", ref.String(), "error", err)
			return
		}
	}
}

// sweep marks the orphaned Jobs for deletion.
func (l *Launcher) sweep(ctx context.Context) {
	for _, o := range l.jobs.GetStore().List() {
		job := o.(*batchv1.Job)
		if ctx.Err() != nil {
			return
		}
		if l.o.Now().Sub(job.CreationTimestamp.Time) < sweepAfter || l.isDone(job) {
			continue
		}
		who, err := identify(job)
		if err != nil {
			continue
		}
		useless, err := l.isUnneeded(ctx, job, who)
		if err != nil {
			l.log.Warn("cannot find orphaned Jobs; will try again", "error", err)
			return
		}
		if useless {
			l.log.Info("deleting an orphaned Job", "job", job.Name)
			l.deleteLater(job.Name, job.UID)
		}
	}
}

// isUnneeded reports whether no invocation or revision needs a Job's runner. A standby or
// warm runner whose pod runs is never unneeded: it may be busy, and the fleet drains it.
func (l *Launcher) isUnneeded(ctx context.Context, job *batchv1.Job, who identity) (bool, error) {
	if who.invocation != "" {
		wanted, err := l.wanted.WantsRunner(ctx, who.invocation)
		return !wanted && err == nil, err
	}
	for _, p := range l.podsOf(job.UID) {
		if p.Status.Phase == corev1.PodRunning {
			return false, nil
		}
	}
	there, err := l.wanted.HasRevision(ctx, who.ref)
	return !there && err == nil, err
}
