package kube

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"davit/internal/backoff"
	"davit/internal/faas"
)

// Prepare checks that a revision can be launched, and writes the Secret that its pods
// refer to. Call it before the revision goes live; without that call, the first launch
// writes the Secret.
func (l *Launcher) Prepare(ctx context.Context, rev *faas.Revision) error {
	if _, err := podOf(rev, faas.StartWarm, "", &l.pods); err != nil {
		return fmt.Errorf("describe the pod of %s: %w", rev.Ref(), err)
	}
	return refusal(fmt.Sprintf("%s cannot be made ready to be launched", rev.Ref()), l.ensureToken(ctx, rev.Ref()))
}

// Launch creates the Job of an invocation. While the Job's pod is not over, and Stop was
// not called, launching the same invocation again, on any gateway, creates nothing. If the
// runner does not end the command after timeout, the Job's deadline ends it later.
func (l *Launcher) Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error {
	err := l.launch(ctx, rev, id, timeout)
	return refusal(fmt.Sprintf("no runner of %s could be started", rev.Ref()), err)
}

func (l *Launcher) launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error {
	if err := l.ensureToken(ctx, rev.Ref()); err != nil {
		return err
	}
	job, err := l.jobOf(callJob(id), rev, faas.StartJob, id, timeout)
	if err != nil {
		return err
	}
	l.cancelDelete(job.Name)
	for {
		made, err := l.create(ctx, job)
		if err == nil {
			l.setLaunched(id, made.UID)
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		there, err := l.o.Clients.Batch.Jobs(l.o.Namespace).Get(ctx, job.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return err
		case !l.isDone(there):
			l.setLaunched(id, there.UID)
			return nil
		}
		if err := l.delete(ctx, there.Name, there.UID); err != nil {
			return err
		}
		if err := backoff.Pause(ctx, recheckAfter); err != nil {
			return err
		}
	}
}

func (l *Launcher) setLaunched(id faas.InvocationID, job types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ended := l.ended[job]; !ended { // a pod may end before Create returns
		l.launched[id] = job
	}
}

// recheckAfter is the pause between checks whether a deleted Job is gone.
const recheckAfter = 20 * time.Millisecond

// create creates a Job and adds it to l.created, because the watch reports it later.
func (l *Launcher) create(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	made, err := l.o.Clients.Batch.Jobs(l.o.Namespace).Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, viewed := l.viewedJob(made.Name, made.UID); !viewed {
		l.created[made.UID] = createdJob{made, l.o.Now()}
	}
	return made, nil
}

// delete deletes the Job of that name and uid, and its pod. The uid "" matches any Job. A
// Job that is gone or was replaced is no error.
func (l *Launcher) delete(ctx context.Context, name string, uid types.UID) error {
	o := metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationBackground)}
	if uid != "" {
		o.Preconditions = metav1.NewUIDPreconditions(string(uid))
	}
	err := l.o.Clients.Batch.Jobs(l.o.Namespace).Delete(ctx, name, o)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// Stop deletes the Job of an invocation. Run reports the exit of the Job's runner without
// the invocation. If the API server does not answer, Stop returns an error and Run deletes
// the Job later.
func (l *Launcher) Stop(ctx context.Context, id faas.InvocationID) error {
	name := callJob(id)
	l.mu.Lock()
	uid := l.launched[id]
	delete(l.launched, id)
	if job, there := l.viewedJob(name, ""); there && uid == "" {
		uid = job.UID
	}
	if uid != "" {
		l.stopped[uid] = l.o.Now()
	}
	l.toDelete[name] = uid
	l.mu.Unlock()
	if err := l.delete(ctx, name, uid); err != nil {
		return refusal(fmt.Sprintf("the runner of invocation %s is ended later", id), err)
	}
	l.cancelDelete(name)
	return nil
}

func (l *Launcher) cancelDelete(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.toDelete, name)
}

// deletePending deletes the Jobs in l.toDelete, until a deletion fails.
func (l *Launcher) deletePending(ctx context.Context) {
	l.mu.Lock()
	undone := make(map[string]types.UID, len(l.toDelete))
	for name, uid := range l.toDelete {
		undone[name] = uid
	}
	l.mu.Unlock()
	for name, uid := range undone {
		if err := l.delete(ctx, name, uid); err != nil {
			if ctx.Err() == nil {
				l.log.Debug("cannot delete a Job; will try again", "job", name, "error", err)
			}
			return
		}
		l.mu.Lock()
		if now, still := l.toDelete[name]; still && now == uid {
			delete(l.toDelete, name)
		}
		l.mu.Unlock()
	}
}
