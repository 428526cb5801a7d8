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
	// sweepAfter is how long a Job is left alone: whoever created it may not have noted it yet.
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

// sweepIfLeading leaves sweeping to the gateway that leads.
func (l *Launcher) sweepIfLeading(ctx context.Context) {
	if l.wanted.Leads() {
		l.sweep(ctx)
	}
}

// sweepTokens removes the Secrets that this gateway wrote, or was to remove, of
// revisions that are deleted and have no runner any more.
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
			l.log.Warn("remove the token of a revision that is deleted; again later", "revision", ref.String(), "error", err)
			return
		}
	}
}

// sweep looks at each Job that is not done.
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
		useless, err := l.useless(ctx, job, who)
		if err != nil {
			l.log.Warn("look for runners that nobody needs; again later", "error", err)
			return
		}
		if useless {
			l.log.Info("a runner that nobody needs is ended", "job", job.Name)
			l.discard(job.Name, job.UID)
		}
	}
}

// useless reports whether nobody needs a Job's runner. A standby or warm one that
// runs is the scaler's: it may be busy, and is drained.
func (l *Launcher) useless(ctx context.Context, job *batchv1.Job, who identity) (bool, error) {
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
