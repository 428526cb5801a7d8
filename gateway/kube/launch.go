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

// Prepare checks that a revision can be launched, and writes what its pods refer to. It is
// to be called before the revision goes live; a Launcher that was not asked does it at the first launch.
func (l *Launcher) Prepare(ctx context.Context, rev *faas.Revision) error {
	if _, err := podOf(rev, faas.StartWarm, "", &l.pods); err != nil {
		return fmt.Errorf("describe the pod of %s: %w", rev.Ref(), err)
	}
	return refusal(fmt.Sprintf("%s cannot be made ready to be launched", rev.Ref()), l.ensureToken(ctx, rev.Ref()))
}

// Launch creates the Job of an invocation. While its pod is not over, and Stop was not
// called, launching the same invocation again, on whichever gateway, creates nothing. The
// Job ends the command, should the runner not, some time after timeout.
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
	l.forgetUndone(job.Name)
	for {
		made, err := l.create(ctx, job)
		if err == nil {
			l.noteLaunched(id, made.UID)
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
			l.noteLaunched(id, there.UID)
			return nil
		}
		if err := l.delete(ctx, there.Name, there.UID); err != nil {
			return err
		}
		if err := backoff.Pause(ctx, againAfter); err != nil {
			return err
		}
	}
}

func (l *Launcher) noteLaunched(id faas.InvocationID, job types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ended := l.ended[job]; !ended { // pods can be quick
		l.launched[id] = job
	}
}

// againAfter is how long a Job that was deleted may take to be gone before that is looked at again.
const againAfter = 20 * time.Millisecond

// create creates a Job, which counts from now on though the watch has not told of it.
func (l *Launcher) create(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	made, err := l.o.Clients.Batch.Jobs(l.o.Namespace).Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, told := l.viewedJob(made.Name, made.UID); !told {
		l.created[made.UID] = fresh{made, l.o.Now()}
	}
	return made, nil
}

// delete removes a Job and its pod, if it is still that one; "" means whichever has the name.
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

// Stop deletes the Job of an invocation, whose exit is not the invocation's any
// more. While the API server is away that is tried again until it is done.
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
	l.undone[name] = uid
	l.mu.Unlock()
	if err := l.delete(ctx, name, uid); err != nil {
		return refusal(fmt.Sprintf("the runner of invocation %s is ended later", id), err)
	}
	l.forgetUndone(name)
	return nil
}

func (l *Launcher) forgetUndone(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.undone, name)
}

// runUndone deletes what could not be deleted when it was asked for.
func (l *Launcher) runUndone(ctx context.Context) {
	l.mu.Lock()
	undone := make(map[string]types.UID, len(l.undone))
	for name, uid := range l.undone {
		undone[name] = uid
	}
	l.mu.Unlock()
	for name, uid := range undone {
		if err := l.delete(ctx, name, uid); err != nil {
			if ctx.Err() == nil {
				l.log.Debug("delete a Job; trying again", "job", name, "error", err)
			}
			return
		}
		l.mu.Lock()
		if now, still := l.undone[name]; still && now == uid {
			delete(l.undone, name)
		}
		l.mu.Unlock()
	}
}
