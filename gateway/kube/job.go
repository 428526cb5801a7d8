package kube

import (
	"cmp"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
)

// spareTime is how long an invocation's Job may run beyond the command's timeout: for
// scheduling, pulling the image, a slow upload, and storing the result. The runner
// enforces the timeout; the Job's deadline ends a runner that does not.
const spareTime = 30 * time.Minute

// maxTTL bounds how long a Job stays after its end.
const maxTTL = 7 * 24 * time.Hour

// jobOf returns the Job of one runner: one pod, which Kubernetes does not retry.
func (l *Launcher) jobOf(name string, rev *faas.Revision, start faas.Start, id faas.InvocationID, timeout time.Duration) (*batchv1.Job, error) {
	pod, err := podOf(rev, start, id, &l.pods)
	if err != nil {
		return nil, err
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: l.o.Namespace, Labels: labelsOf(rev, start, id)},
		Spec: batchv1.JobSpec{
			Parallelism:             pointer(int32(1)),
			Completions:             pointer(int32(1)),
			BackoffLimit:            pointer(int32(0)),
			PodReplacementPolicy:    pointer(batchv1.Failed),
			TTLSecondsAfterFinished: pointer(int32(min(l.o.TTL, maxTTL) / time.Second)), //nolint:gosec // it fits
			Template:                *pod,
		},
	}
	if start == faas.StartJob {
		job.Spec.ActiveDeadlineSeconds = pointer(int64((cmp.Or(timeout, rev.Spec.Timeout.Std()) + spareTime) / time.Second))
	}
	return job, nil
}
