package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchv1 "k8s.io/client-go/kubernetes/typed/batch/v1"
)

// deletions deletes Jobs: at once, or by a later check, also when the API server did not answer before.
type deletions struct {
	jobs batchv1.JobInterface
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	marked  map[types.UID]time.Time // Jobs that are or were to be deleted
	pending map[string]types.UID    // Jobs to delete, by name; "": any uid
}

func newDeletions(jobs batchv1.JobInterface, log *slog.Logger, now func() time.Time) *deletions {
	return &deletions{jobs: jobs, log: log, now: now, marked: map[types.UID]time.Time{}, pending: map[string]types.UID{}}
}

// mark marks a Job for deletion by the next deletePending. The uid "" matches any Job.
func (d *deletions) mark(name string, uid types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if uid != "" {
		d.marked[uid] = d.now()
	}
	d.pending[name] = uid
}

// isMarked reports whether a Job is or was to be deleted.
func (d *deletions) isMarked(job types.UID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, marked := d.marked[job]
	return marked
}

// cancel makes deletePending leave the Job of that name.
func (d *deletions) cancel(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pending, name)
}

// delete deletes the Job of that name and uid, and its pod. The uid "" matches any Job. A Job that is gone or was
// replaced is no error.
func (d *deletions) delete(ctx context.Context, name string, uid types.UID) error {
	o := metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationBackground)}
	if uid != "" {
		o.Preconditions = metav1.NewUIDPreconditions(string(uid))
	}
	err := d.jobs.Delete(ctx, name, o)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// deletePending deletes the marked Jobs. Those that the API server does not delete stay marked.
func (d *deletions) deletePending(ctx context.Context) {
	d.mu.Lock()
	undone := maps.Clone(d.pending)
	d.mu.Unlock()
	var failed error
	for name, uid := range undone {
		if err := d.delete(ctx, name, uid); err != nil {
			err = refusal(fmt.Sprintf("the Job %s was not deleted", name), err)
			failed = errors.Join(failed, err)
			if isOutage(err) {
				break
			}
			continue
		}
		d.mu.Lock()
		if now, still := d.pending[name]; still && now == uid {
			delete(d.pending, name)
		}
		d.mu.Unlock()
	}
	if failed != nil && ctx.Err() == nil {
		d.log.Debug("cannot delete Jobs; will try again", "error", failed)
	}
}

// removeExpired removes old marks.
func (d *deletions) removeExpired() {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.marked, func(_ types.UID, at time.Time) bool { return now.Sub(at) > keepExitsFor })
}
