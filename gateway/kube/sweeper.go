package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"davit/internal/every"
	"davit/internal/faas"
)

const (
	sweepEvery = time.Minute
	// sweepAfter is the least age of a Job that the sweep deletes, because the gateway that created the Job may not
	// have recorded its invocation yet.
	sweepAfter = 2 * time.Minute
)

// Wanted reports which runners are still needed, and whether this gateway sweeps.
type Wanted interface {
	// WantsRunner reports whether an invocation is there and not final.
	WantsRunner(ctx context.Context, id faas.InvocationID) (bool, error)
	// HasRevision reports whether a revision is registered.
	HasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error)
	// Leads reports whether this gateway leads the fleet: only the leader sweeps Jobs.
	Leads() bool
}

// sweeper deletes what nobody needs any more: orphaned Jobs, and the objects of deleted revisions.
type sweeper struct {
	view      *view
	reporter  *reporter
	deletions *deletions
	secrets   *secrets
	log       *slog.Logger
	now       func() time.Time

	wanted Wanted // set by Run
}

// run sweeps every sweepEvery, until ctx ends.
func (s *sweeper) run(ctx context.Context) {
	every.Interval(ctx, sweepEvery, func(ctx context.Context) {
		if s.view.isComplete() {
			s.sweepIfLeading(ctx)
			s.sweepTokens(ctx)
		}
	})
}

// sweepIfLeading sweeps Jobs if this gateway leads the fleet.
func (s *sweeper) sweepIfLeading(ctx context.Context) {
	if s.wanted.Leads() {
		s.sweep(ctx)
	}
}

// sweepTokens calls forget for each deleted revision whose token this gateway wrote, or that forget could not delete
// before.
func (s *sweeper) sweepTokens(ctx context.Context) {
	var failed error
	for _, ref := range s.secrets.withTokens() {
		there, err := s.wanted.HasRevision(ctx, ref)
		if err == nil && !there {
			err = refusal("the runner token was not removed", s.forget(ctx, ref))
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", ref, err))
			if isOutage(err) {
				break
			}
		}
	}
	if failed != nil {
		s.log.Warn("cannot remove the tokens of deleted revisions; will try again", "error", failed)
	}
}

// sweep marks the orphaned Jobs for deletion. A Job is orphaned when its gateway died before it recorded or deleted it.
func (s *sweeper) sweep(ctx context.Context) {
	var failed error
	for _, job := range s.view.reportedJobs() {
		if ctx.Err() != nil {
			return
		}
		orphaned, err := s.isOrphaned(ctx, job)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", job.Name, err))
			if isOutage(err) {
				break
			}
		}
		if orphaned {
			s.log.Info("deleting an orphaned Job", "job", job.Name)
			s.deletions.mark(job.Name, job.UID)
		}
	}
	if failed != nil {
		s.log.Warn("cannot find all orphaned Jobs; will try again", "error", failed)
	}
}

// isOrphaned reports whether a Job is not done, is old enough, and nothing needs it.
func (s *sweeper) isOrphaned(ctx context.Context, job *batchv1.Job) (bool, error) {
	if s.now().Sub(job.CreationTimestamp.Time) < sweepAfter || s.reporter.isDone(job) {
		return false, nil
	}
	who, err := identify(job)
	if err != nil {
		return false, nil //nolint:nilerr // a Job that this package has not made
	}
	return s.isUnneeded(ctx, job, who)
}

// isUnneeded reports whether no invocation or revision needs a Job's runner. A standby or warm runner whose pod runs is
// never unneeded: it may be busy, and the fleet drains it.
func (s *sweeper) isUnneeded(ctx context.Context, job *batchv1.Job, who identity) (bool, error) {
	if who.invocation != "" {
		wanted, err := s.wanted.WantsRunner(ctx, who.invocation)
		return !wanted && err == nil, err
	}
	for _, p := range s.view.podsOf(job.UID) {
		if p.Status.Phase == corev1.PodRunning {
			return false, nil
		}
	}
	there, err := s.wanted.HasRevision(ctx, who.ref)
	return !there && err == nil, err
}

// forget deletes the objects of a deleted revision: the Secret of its token, and its Jobs. While a Job of the revision
// is not done, forget deletes nothing. If it did not delete the token, sweepTokens calls it again later.
func (s *sweeper) forget(ctx context.Context, ref faas.RevisionRef) error {
	s.secrets.addToken(ref)
	jobs := s.view.ofRevision(ref)
	if slices.ContainsFunc(jobs, func(job *batchv1.Job) bool { return !s.reporter.isDone(job) }) {
		return nil
	}
	for _, job := range jobs {
		s.deletions.mark(job.Name, job.UID)
	}
	return s.secrets.removeToken(ctx, ref)
}
