package kube

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/backoff"
	"davit/internal/faas"
)

// Prepare checks that a revision can be launched, and writes the Secret that its pods refer to. Call it before the
// revision goes live; without that call, the first launch writes the Secret.
func (l *Launcher) Prepare(ctx context.Context, rev *faas.Revision) error {
	if _, err := podOf(rev, faas.StartWarm, "", &l.options.pods); err != nil {
		return fmt.Errorf("describe the pod of %s: %w", rev.Ref(), err)
	}
	return refusal(fmt.Sprintf("the runner token of %s was not written", rev.Ref()), l.secrets.ensureToken(ctx, rev.Ref()))
}

// Launch creates the Job of an invocation. While the Job's pod is not over, and Stop was not called, launching the same
// invocation again, on any gateway, creates nothing. If the runner does not end the command after timeout, the Job's
// deadline ends it later.
func (l *Launcher) Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error {
	err := l.launch(ctx, rev, id, timeout)
	return refusal(fmt.Sprintf("no runner of %s could be started", rev.Ref()), err)
}

func (l *Launcher) launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error {
	if err := l.secrets.ensureToken(ctx, rev.Ref()); err != nil {
		return err
	}
	job, err := jobOf(callJob(id), rev, faas.StartJob, id, timeout, &l.options)
	if err != nil {
		return err
	}
	l.deletions.cancel(job.Name)
	for {
		made, err := l.create(ctx, job)
		if err == nil {
			l.reporter.setLaunched(id, made.UID)
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		there, err := l.client.Get(ctx, job.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return err
		case !l.reporter.isDone(there):
			l.reporter.setLaunched(id, there.UID)
			return nil
		}
		if err := l.deletions.delete(ctx, there.Name, there.UID); err != nil {
			return err
		}
		if err := backoff.Pause(ctx, recheckAfter); err != nil {
			return err
		}
	}
}

// recheckAfter is the pause between checks whether a deleted Job is gone.
const recheckAfter = 20 * time.Millisecond

// create creates a Job and adds it to the view.
func (l *Launcher) create(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	made, err := l.client.Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	l.view.add(made)
	return made, nil
}

// Stop deletes the Job of an invocation. Run reports the exit of the Job's runner without the invocation. If the API
// server does not answer, Stop returns an error and Run deletes the Job later.
func (l *Launcher) Stop(ctx context.Context, id faas.InvocationID) error {
	name := callJob(id)
	uid := l.reporter.takeLaunched(id)
	if job, there := l.view.job(name, ""); there && uid == "" {
		uid = job.UID
	}
	l.deletions.mark(name, uid)
	if err := l.deletions.delete(ctx, name, uid); err != nil {
		return refusal(fmt.Sprintf("the runner of invocation %s is ended later", id), err)
	}
	l.deletions.cancel(name)
	return nil
}
