package kube

import (
	"cmp"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
)

// spareTime is how long an invocation's Job may run beyond the command's timeout: for scheduling, pulling the image, a
// slow upload, and storing the result. The runner enforces the timeout; the Job's deadline ends a runner that does not.
const spareTime = 30 * time.Minute

// maxTTL bounds how long a Job stays after its end.
const maxTTL = 7 * 24 * time.Hour

// jobOptions are the settings that all Jobs have in common.
type jobOptions struct {
	namespace string
	ttl       time.Duration // of Jobs that have ended
	pods      podOptions
}

// jobOf returns the Job of one runner: one pod, which Kubernetes does not retry.
func jobOf(name string, rev *faas.Revision, start faas.Start, id faas.InvocationID, timeout time.Duration, o *jobOptions) (*batchv1.Job, error) {
	pod, err := podOf(rev, start, id, &o.pods)
	if err != nil {
		return nil, err
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.namespace, Labels: labelsOf(rev, start, id)},
		Spec: batchv1.JobSpec{
			Parallelism:             pointer(int32(1)),
			Completions:             pointer(int32(1)),
			BackoffLimit:            pointer(int32(0)),
			PodReplacementPolicy:    pointer(batchv1.Failed),
			TTLSecondsAfterFinished: pointer(int32(min(o.ttl, maxTTL) / time.Second)), //nolint:gosec // it fits
			Template:                *pod,
		},
	}
	if start == faas.StartJob {
		job.Spec.ActiveDeadlineSeconds = pointer(int64((cmp.Or(timeout, rev.Spec.Timeout.Std()) + spareTime) / time.Second))
	}
	return job, nil
}

// isFinished reports whether a Job's own status says that it has ended.
func isFinished(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}
