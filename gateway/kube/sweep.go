package kube

import (
	"context"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"davit/internal/faas"
)

const (
	sweepEvery = time.Minute
	// sweepAfter is how long a Job is left alone: whoever created it may not have noted it yet.
	sweepAfter = 2 * time.Minute
)

// Wanted tells whether runners are still of use to anybody.
type Wanted interface {
	// WantsRunner reports whether an invocation is there and not final.
	WantsRunner(ctx context.Context, id faas.InvocationID) (bool, error)
	// HasRevision reports whether a revision is registered.
	HasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error)
}

// runSweep deletes, on one gateway at a time, the Jobs that nobody needs: those that gateways left which
// died between creating one and noting it, or before they could delete it.
func (l *Launcher) runSweep(ctx context.Context) {
	lead := lease{leases: l.o.Clients.Leases.Leases(l.o.Namespace), name: leaseName, holder: string(l.o.Gateway), now: l.o.Now}
	defer lead.giveUp(context.WithoutCancel(ctx), l.log)
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		leads := l.hasView() && lead.hold(ctx, l.log)
		if now := l.o.Now(); l.hasView() && now.Sub(last) >= sweepEvery {
			last = now
			if leads {
				l.sweep(ctx)
			}
			l.sweepTokens(ctx)
		}
	}
}

// sweepTokens removes the Secrets that this gateway wrote, or was to remove, of
// revisions that are deleted and have no runner any more.
func (l *Launcher) sweepTokens(ctx context.Context) {
	l.mu.Lock()
	refs := slices.Collect(maps.Keys(l.tokens))
	l.mu.Unlock()
	for _, ref := range refs {
		there, err := l.o.Wanted.HasRevision(ctx, ref)
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
		wanted, err := l.o.Wanted.WantsRunner(ctx, who.invocation)
		return !wanted && err == nil, err
	}
	for _, p := range l.podsOf(job.UID) {
		if p.Status.Phase == corev1.PodRunning {
			return false, nil
		}
	}
	there, err := l.o.Wanted.HasRevision(ctx, who.ref)
	return !there && err == nil, err
}
