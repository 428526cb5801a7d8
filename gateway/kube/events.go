package kube

import (
	"context"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"davit/internal/faas"
)

const (
	checkEvery = time.Second
	// keepExitsFor is how long the Launcher keeps the exit causes of runners, and the uids
	// of stopped and ended Jobs.
	keepExitsFor = 10 * time.Minute
	// reportWithin is the greatest age of a pod's end that the Launcher reports.
	reportWithin = time.Minute
	// createdFor is how long the watch may take to report a Job that was created.
	createdFor = 30 * time.Second
	// podWait is how long the watch may take to report the pod of a deleted Job.
	podWait = 3 * time.Second
)

// checkPeriodically does the work that depends on time: it checks pending pods, reports
// deleted Jobs without a pod, deletes the Jobs in l.toDelete, and removes old entries.
func (l *Launcher) checkPeriodically(ctx context.Context) {
	for _, o := range l.podView.GetStore().List() {
		if p := o.(*corev1.Pod); p.Status.Phase == corev1.PodPending {
			l.onPod(p)
		}
	}
	l.reportPodless()
	l.deletePending(ctx)
	l.removeExpired()
}

func (l *Launcher) removeExpired() {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, times := range []map[types.UID]time.Time{l.stopped, l.ended} {
		maps.DeleteFunc(times, func(_ types.UID, at time.Time) bool { return now.Sub(at) > keepExitsFor })
	}
	maps.DeleteFunc(l.exits, func(_ faas.RunnerID, f knownExit) bool { return now.Sub(f.at) > keepExitsFor })
	maps.DeleteFunc(l.created, func(_ types.UID, job createdJob) bool { return now.Sub(job.at) > createdFor })
}

// onJob handles a new or changed Job.
func (l *Launcher) onJob(job *batchv1.Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.created, job.UID)
}

// onJobDeleted handles the deletion of a Job. If the watch has reported no pod of the Job,
// no event of a pod reports its end, so reportPodless does.
func (l *Launcher) onJobDeleted(job *batchv1.Job) {
	who, err := identify(job)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.created, job.UID)
	if _, reported := l.ended[job.UID]; !reported && !hasEnded(job) {
		l.podless[job.UID] = podlessJob{who, job.Name, l.o.Now()}
	}
}

// reportPodless reports the ends of Jobs that were deleted before they had a pod.
func (l *Launcher) reportPodless() {
	l.mu.Lock()
	bare := maps.Clone(l.podless)
	l.mu.Unlock()
	for uid, job := range bare {
		late := l.o.Now().Sub(job.at) < podWait
		if late && len(l.podsOf(uid)) == 0 {
			continue
		}
		l.mu.Lock()
		delete(l.podless, uid)
		_, reported := l.ended[uid]
		l.mu.Unlock()
		if !late && !reported {
			l.report(job.identity, uid, faas.RunnerID(job.name), exitCause{faas.ReasonRunnerLost, "its Job was deleted"})
		}
	}
}

// onPod handles a new or changed pod. It reports the end of a pod that is over, and of a
// pod that is stuck for too long, whose Job it deletes.
func (l *Launcher) onPod(p *corev1.Pod) {
	who, err := identify(p)
	if err != nil {
		return
	}
	now := l.o.Now()
	if isOver(p) {
		l.reportOnce(p, who, l.causeOf(p, now))
		return
	}
	f, tooLong := l.stuckTooLong(p, now)
	if !tooLong || !l.reportOnce(p, who, f) {
		return
	}
	l.deleteLater(jobName(p), jobOfPod(p))
}

// stuckTooLong reports whether an obstacle has kept a pod from running for longer than the
// obstacle's limit, and returns the cause.
func (l *Launcher) stuckTooLong(p *corev1.Pod, now time.Time) (f exitCause, tooLong bool) {
	why := whyStuck(p, l.o.Unschedulable)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stateOf(p.UID)
	if p.Spec.NodeName != "" && !s.scheduled {
		s.scheduled, l.capacityChanged = true, now
	}
	if why == nil {
		s.kind = ""
		return exitCause{}, false
	}
	if s.kind != why.kind {
		s.kind, s.since = why.kind, now
	}
	since := s.since
	if why.shared && l.capacityChanged.After(since) {
		since = l.capacityChanged
	}
	return why.exitCause, now.Sub(since) >= why.limit
}

// stateOf returns the state of a pod, which it creates if there is none; l.mu is held.
func (l *Launcher) stateOf(uid types.UID) *podState {
	s := l.podStates[uid]
	if s == nil {
		s = &podState{}
		l.podStates[uid] = s
	}
	return s
}

// onPodDeleted handles the deletion of a pod, and reports its end if onPod has not.
func (l *Launcher) onPodDeleted(p *corev1.Pod) {
	if who, err := identify(p); err == nil {
		l.reportOnce(p, who, l.causeOf(p, l.o.Now()))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.podStates, p.UID)
	delete(l.joined, faas.RunnerID(p.Name))
}

func (l *Launcher) causeOf(p *corev1.Pod, now time.Time) exitCause {
	job, _ := l.viewedJob(jobName(p), jobOfPod(p))
	return podExitCause(p, job, now)
}

// reportOnce reports the end of a pod, and whether this is the first call for the pod. It
// does not report an end that is older than reportWithin: only Explain returns that one.
func (l *Launcher) reportOnce(p *corev1.Pod, who identity, f exitCause) (first bool) {
	now := l.o.Now()
	l.mu.Lock()
	s := l.stateOf(p.UID)
	first = !s.reported
	s.reported = true
	l.mu.Unlock()
	if !first {
		return false
	}
	if t := terminated(p); t != nil && now.Sub(t.FinishedAt.Time) > reportWithin {
		l.keepExit(jobOfPod(p), faas.RunnerID(p.Name), f, now)
		return true
	}
	l.mu.Lock()
	l.capacityChanged = now
	l.mu.Unlock()
	l.report(who, jobOfPod(p), faas.RunnerID(p.Name), f)
	return true
}

// keepExit keeps the exit cause of a runner for Explain.
func (l *Launcher) keepExit(job types.UID, runner faas.RunnerID, f exitCause, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended[job] = now
	l.exits[runner] = knownExit{exitCause: f, at: now}
}

// report calls exited with the end of a runner. The exit of a stopped runner has no reason
// and no invocation; the exit of a runner that was replaced has no invocation.
func (l *Launcher) report(who identity, job types.UID, runner faas.RunnerID, f exitCause) {
	l.mu.Lock()
	_, stopped := l.stopped[job]
	current, known := l.launched[who.invocation]
	if known && current == job {
		delete(l.launched, who.invocation)
	}
	l.mu.Unlock()
	l.keepExit(job, runner, f, l.o.Now())
	exit := faas.Exit{Runner: runner, Ref: who.ref, Start: who.start, Invocation: who.invocation, Reason: f.reason, Detail: f.detail}
	if stopped {
		exit.Reason, exit.Detail = "", ""
	}
	if stopped || known && current != job {
		exit.Invocation = ""
	}
	l.exited(exit)
}

// onFailedCreate handles an event FailedCreate: it reports the end of the Job, whose pod
// the API server refused, and deletes the Job.
func (l *Launcher) onFailedCreate(e *corev1.Event) {
	job := l.findJob(e.InvolvedObject.Name, e.InvolvedObject.UID)
	if job == nil || !l.hasView() || l.isDone(job) || job.Status.Active > 0 || len(l.podsOf(job.UID)) > 0 {
		return
	}
	who, err := identify(job)
	if err != nil {
		return
	}
	what := "the cluster refuses its pod"
	if isQuota(e.Message) {
		what = "the cluster's quota is used up"
	}
	l.report(who, job.UID, faas.RunnerID(job.Name), exitCause{faas.ReasonUnschedulable, withMessage(what, e.Message)})
	l.deleteLater(job.Name, job.UID)
}

// Explain returns why a runner ended, or why its node or pod does not respond. known is
// false if the runner ended in order, its pod seems well, or nothing is known of it.
func (l *Launcher) Explain(runner faas.RunnerID) (reason faas.Reason, detail string, known bool) {
	l.mu.Lock()
	f, reported := l.exits[runner]
	l.mu.Unlock()
	if reported {
		return f.reason, f.detail, f.reason != ""
	}
	o, there, err := l.podView.GetStore().GetByKey(l.o.Namespace + "/" + string(runner))
	if err != nil || !there {
		return "", "", false
	}
	p := o.(*corev1.Pod)
	if f, known := disrupted(p); known {
		return f.reason, f.detail, true
	}
	if nodeSilent(p) {
		return faas.ReasonNodeLost, "its node does not answer", true
	}
	return "", "", false
}
