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
	lookEvery = time.Second
	// rememberFor is how long the fate of a runner, and that a Job was stopped, is of use.
	rememberFor = 10 * time.Minute
	// newsFor is how old an end may be to be told when it is first seen.
	newsFor = time.Minute
	// createdFor is how long the watch may take to tell of a Job that was created.
	createdFor = 30 * time.Second
	// bareFor is how long it may take to tell of the pod of a Job that is gone.
	bareFor = 3 * time.Second
)

// look does what time brings about.
func (l *Launcher) look(ctx context.Context) {
	for _, o := range l.podView.GetStore().List() {
		if p := o.(*corev1.Pod); p.Status.Phase == corev1.PodPending {
			l.podSeen(p)
		}
	}
	l.lookAtBare()
	l.runUndone(ctx)
	l.forgetOld()
}

func (l *Launcher) forgetOld() {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, times := range []map[types.UID]time.Time{l.stopped, l.ended} {
		maps.DeleteFunc(times, func(_ types.UID, at time.Time) bool { return now.Sub(at) > rememberFor })
	}
	maps.DeleteFunc(l.known, func(_ faas.RunnerID, f remembered) bool { return now.Sub(f.at) > rememberFor })
	maps.DeleteFunc(l.created, func(_ types.UID, job fresh) bool { return now.Sub(job.at) > createdFor })
}

// jobSeen takes note of a Job that the watch tells of.
func (l *Launcher) jobSeen(job *batchv1.Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.created, job.UID)
}

// jobGone takes note of a Job that is gone; if it had no pod, nobody else tells of its end.
func (l *Launcher) jobGone(job *batchv1.Job) {
	who, err := identify(job)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.created, job.UID)
	if _, told := l.ended[job.UID]; !told && !hasEnded(job) {
		l.bare[job.UID] = bareJob{who, job.Name, l.o.Now()}
	}
}

// lookAtBare tells of the Jobs that were deleted before they had a pod.
func (l *Launcher) lookAtBare() {
	l.mu.Lock()
	bare := maps.Clone(l.bare)
	l.mu.Unlock()
	for uid, job := range bare {
		late := l.o.Now().Sub(job.at) < bareFor
		if late && len(l.podsOf(uid)) == 0 {
			continue
		}
		l.mu.Lock()
		delete(l.bare, uid)
		_, told := l.ended[uid]
		l.mu.Unlock()
		if !late && !told {
			l.tell(job.identity, uid, faas.RunnerID(job.name), fate{faas.ReasonRunnerLost, "its Job was deleted"})
		}
	}
}

// podSeen follows a pod, and tells when it is over or will never run.
func (l *Launcher) podSeen(p *corev1.Pod) {
	who, err := identify(p)
	if err != nil {
		return
	}
	now := l.o.Now()
	if isOver(p) {
		l.end(p, who, l.fateOf(p, now))
		return
	}
	f, hopeless := l.patient(p, now)
	if !hopeless || !l.end(p, who, f) {
		return
	}
	l.discard(jobName(p), jobOfPod(p))
}

// patient reports whether what holds a pod up has lasted for too long.
func (l *Launcher) patient(p *corev1.Pod, now time.Time) (f fate, hopeless bool) {
	why := whyStuck(p, l.o.Unschedulable)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sighted(p.UID)
	if p.Spec.NodeName != "" && !s.placed {
		s.placed, l.room = true, now
	}
	if why == nil {
		s.kind = ""
		return fate{}, false
	}
	if s.kind != why.kind {
		s.kind, s.since = why.kind, now
	}
	since := s.since
	if why.shared && l.room.After(since) {
		since = l.room
	}
	return why.fate, now.Sub(since) >= why.patience
}

// sighted returns what is known of a pod; l.mu is held.
func (l *Launcher) sighted(uid types.UID) *sighting {
	s := l.seen[uid]
	if s == nil {
		s = &sighting{}
		l.seen[uid] = s
	}
	return s
}

// podGone tells of a pod that is gone without having been over.
func (l *Launcher) podGone(p *corev1.Pod) {
	if who, err := identify(p); err == nil {
		l.end(p, who, l.fateOf(p, l.o.Now()))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, p.UID)
	delete(l.joined, faas.RunnerID(p.Name))
}

func (l *Launcher) fateOf(p *corev1.Pod, now time.Time) fate {
	job, _ := l.viewedJob(jobName(p), jobOfPod(p))
	return ending(p, job, now)
}

// end tells of a pod's end, once. What was long over when it was first seen is no
// news: whoever asks is told.
func (l *Launcher) end(p *corev1.Pod, who identity, f fate) (first bool) {
	now := l.o.Now()
	l.mu.Lock()
	s := l.sighted(p.UID)
	first = !s.told
	s.told = true
	l.mu.Unlock()
	if !first {
		return false
	}
	if t := terminated(p); t != nil && now.Sub(t.FinishedAt.Time) > newsFor {
		l.note(jobOfPod(p), faas.RunnerID(p.Name), f, now)
		return true
	}
	l.mu.Lock()
	l.room = now
	l.mu.Unlock()
	l.tell(who, jobOfPod(p), faas.RunnerID(p.Name), f)
	return true
}

// note remembers the end of a runner.
func (l *Launcher) note(job types.UID, runner faas.RunnerID, f fate, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended[job] = now
	l.known[runner] = remembered{fate: f, at: now}
}

// tell reports the end of a runner. One that was stopped has ended as it was told
// to; it, and one that was replaced, are of no interest to their invocation.
func (l *Launcher) tell(who identity, job types.UID, runner faas.RunnerID, f fate) {
	l.mu.Lock()
	_, stopped := l.stopped[job]
	current, known := l.launched[who.invocation]
	if known && current == job {
		delete(l.launched, who.invocation)
	}
	l.mu.Unlock()
	l.note(job, runner, f, l.o.Now())
	exit := faas.Exit{Runner: runner, Ref: who.ref, Start: who.start, Invocation: who.invocation, Reason: f.reason, Detail: f.detail}
	if stopped {
		exit.Reason, exit.Detail = "", ""
	}
	if stopped || known && current != job {
		exit.Invocation = ""
	}
	l.exited(exit)
}

// refused tells of a Job whose pod the cluster does not allow.
func (l *Launcher) refused(e *corev1.Event) {
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
	l.tell(who, job.UID, faas.RunnerID(job.Name), fate{faas.ReasonUnschedulable, said(what, e.Message)})
	l.discard(job.Name, job.UID)
}

// Explain tells what is known of a runner that is out of touch: how it ended, or
// what has happened to its pod. known is false when nothing is, or it seems well.
func (l *Launcher) Explain(runner faas.RunnerID) (reason faas.Reason, detail string, known bool) {
	l.mu.Lock()
	f, told := l.known[runner]
	l.mu.Unlock()
	if told {
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
