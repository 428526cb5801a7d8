package kube

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// deleteLater marks a Job for deletion by the next periodic check. From now on the Job
// counts as done.
func (l *Launcher) deleteLater(name string, uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped[uid] = l.o.Now()
	l.toDelete[name] = uid
}

// isDone reports whether a Job's runner has ended, or the Job is to be deleted. The pods
// of the Job count as well, because the status of the Job changes later than theirs.
func (l *Launcher) isDone(job *batchv1.Job) bool {
	l.mu.Lock()
	_, stopped := l.stopped[job.UID]
	_, ended := l.ended[job.UID]
	l.mu.Unlock()
	if stopped || ended || job.DeletionTimestamp != nil {
		return true
	}
	if hasEnded(job) {
		return true
	}
	pods := l.podsOf(job.UID)
	for _, p := range pods {
		if !isOver(p) && p.DeletionTimestamp == nil {
			return false
		}
	}
	return len(pods) > 0
}

// hasEnded reports whether a Job's own status says that it has ended.
func hasEnded(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}
