package kube

import (
	"maps"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"davit/internal/faas"
)

const (
	// reportWithin is the greatest age of a pod's end that the reporter reports.
	reportWithin = time.Minute
	// podWait is how long the watch may take to report the pod of a deleted Job.
	podWait = 3 * time.Second
)

// reporter handles the events of the watches. It reports the end of each runner once, and keeps the cause for some
// time.
type reporter struct {
	view      *view
	deletions *deletions
	obstacles *obstacles
	now       func() time.Time

	exited func(faas.Exit) // set by Run

	mu       sync.Mutex
	reported map[types.UID]bool              // pods that are not deleted, and whose end is reported
	launched map[faas.InvocationID]types.UID // the invocation's Job, until it ends
	ended    map[types.UID]time.Time         // when a Job's pod ended
	podless  map[types.UID]podlessJob        // deleted Jobs without a reported pod
	exits    map[faas.RunnerID]knownExit     // exit causes, kept for keepExitsFor
}

// podlessJob is a deleted Job of which the watch has reported no pod. The Job had none, or the watch reports the pod
// later.
type podlessJob struct {
	identity

	name string
	at   time.Time
}

// knownExit is an exit cause and the time of its report.
type knownExit struct {
	exitCause
	at time.Time
}

func newReporter(v *view, d *deletions, o *obstacles, now func() time.Time) *reporter {
	return &reporter{
		view: v, deletions: d, obstacles: o, now: now,
		reported: map[types.UID]bool{}, launched: map[faas.InvocationID]types.UID{}, ended: map[types.UID]time.Time{},
		podless: map[types.UID]podlessJob{}, exits: map[faas.RunnerID]knownExit{},
	}
}

// setLaunched records the Job of an invocation.
func (r *reporter) setLaunched(id faas.InvocationID, job types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ended := r.ended[job]; !ended { // a pod may end before Create returns
		r.launched[id] = job
	}
}

// takeLaunched returns the Job of an invocation, and removes the record of it; "": none is known.
func (r *reporter) takeLaunched(id faas.InvocationID) types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := r.launched[id]
	delete(r.launched, id)
	return job
}

// isDone reports whether a Job's runner has ended, or the Job is to be deleted. The pods of the Job count as well,
// because the status of the Job changes later than theirs.
func (r *reporter) isDone(job *batchv1.Job) bool {
	if r.deletions.isMarked(job.UID) || r.hasEnded(job.UID) || job.DeletionTimestamp != nil || isFinished(job) {
		return true
	}
	pods := r.view.podsOf(job.UID)
	for _, p := range pods {
		if !isOver(p) && p.DeletionTimestamp == nil {
			return false
		}
	}
	return len(pods) > 0
}

// hasEnded reports whether the end of a Job's runner is known.
func (r *reporter) hasEnded(job types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ended := r.ended[job]
	return ended
}

// checkPeriodically does the work that depends on time: it checks pending pods, reports deleted Jobs without a pod, and
// removes old entries.
func (r *reporter) checkPeriodically() {
	for _, p := range r.view.pending() {
		r.onPod(p)
	}
	r.reportPodless()
	r.removeExpired()
}

func (r *reporter) removeExpired() {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.ended, func(_ types.UID, at time.Time) bool { return now.Sub(at) > keepExitsFor })
	maps.DeleteFunc(r.exits, func(_ faas.RunnerID, f knownExit) bool { return now.Sub(f.at) > keepExitsFor })
}

// onJobDeleted handles the deletion of a Job. If the watch has reported no pod of the Job, no event of a pod reports
// its end, so reportPodless does.
func (r *reporter) onJobDeleted(job *batchv1.Job) {
	who, err := identify(job)
	if err != nil {
		return
	}
	r.view.removeCreated(job.UID)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, reported := r.ended[job.UID]; !reported && !isFinished(job) {
		r.podless[job.UID] = podlessJob{who, job.Name, r.now()}
	}
}

// reportPodless reports the ends of Jobs that were deleted before they had a pod.
func (r *reporter) reportPodless() {
	r.mu.Lock()
	bare := maps.Clone(r.podless)
	r.mu.Unlock()
	for uid, job := range bare {
		late := r.now().Sub(job.at) < podWait
		if late && len(r.view.podsOf(uid)) == 0 {
			continue
		}
		r.mu.Lock()
		delete(r.podless, uid)
		_, reported := r.ended[uid]
		r.mu.Unlock()
		if !late && !reported {
			r.report(job.identity, uid, faas.RunnerID(job.name), exitCause{faas.ReasonRunnerLost, "the runner's Job was deleted before it had a pod"})
		}
	}
}

// onPod handles a new or changed pod. It reports the end of a pod that is over, and of a pod that is stuck for too
// long, whose Job it deletes.
func (r *reporter) onPod(p *corev1.Pod) {
	who, err := identify(p)
	if err != nil {
		return
	}
	now := r.now()
	if isOver(p) {
		r.reportOnce(p, who, r.causeOf(p, now))
		return
	}
	f, tooLong := r.obstacles.lastTooLong(p, now)
	if !tooLong || !r.reportOnce(p, who, f) {
		return
	}
	r.deletions.mark(jobName(p), jobOfPod(p))
}

// onPodDeleted handles the deletion of a pod, and reports its end if onPod has not.
func (r *reporter) onPodDeleted(p *corev1.Pod) {
	if who, err := identify(p); err == nil {
		r.reportOnce(p, who, r.causeOf(p, r.now()))
	}
	r.obstacles.remove(p.UID)
	r.view.leave(faas.RunnerID(p.Name))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reported, p.UID)
}

func (r *reporter) causeOf(p *corev1.Pod, now time.Time) exitCause {
	job, _ := r.view.job(jobName(p), jobOfPod(p))
	return podExitCause(p, job, now)
}

// reportOnce reports the end of a pod, and whether this is the first call for the pod. It does not report an end that
// is older than reportWithin: only explain returns that one.
func (r *reporter) reportOnce(p *corev1.Pod, who identity, f exitCause) (first bool) {
	now := r.now()
	r.mu.Lock()
	first = !r.reported[p.UID]
	r.reported[p.UID] = true
	r.mu.Unlock()
	if !first {
		return false
	}
	if t := terminated(p); t != nil && now.Sub(t.FinishedAt.Time) > reportWithin {
		r.keepExit(jobOfPod(p), faas.RunnerID(p.Name), f, now)
		return true
	}
	r.obstacles.addCapacity(now)
	r.report(who, jobOfPod(p), faas.RunnerID(p.Name), f)
	return true
}

// keepExit keeps the exit cause of a runner for explain.
func (r *reporter) keepExit(job types.UID, runner faas.RunnerID, f exitCause, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[job] = now
	r.exits[runner] = knownExit{exitCause: f, at: now}
}

// report calls exited with the end of a runner. The exit of a stopped runner has no reason and no invocation; the exit
// of a runner that was replaced has no invocation.
func (r *reporter) report(who identity, job types.UID, runner faas.RunnerID, f exitCause) {
	stopped := r.deletions.isMarked(job)
	r.mu.Lock()
	current, known := r.launched[who.invocation]
	if known && current == job {
		delete(r.launched, who.invocation)
	}
	r.mu.Unlock()
	r.keepExit(job, runner, f, r.now())
	exit := faas.Exit{Runner: runner, Ref: who.ref, Start: who.start, Invocation: who.invocation, Reason: f.reason, Detail: f.detail}
	if stopped {
		exit.Reason, exit.Detail = "", ""
	}
	if stopped || known && current != job {
		exit.Invocation = ""
	}
	r.exited(exit)
}

// onFailedCreate handles an event FailedCreate: it reports the end of the Job, whose pod the API server refused, and
// deletes the Job.
func (r *reporter) onFailedCreate(e *corev1.Event) {
	job := r.view.find(e.InvolvedObject.Name, e.InvolvedObject.UID)
	if job == nil || !r.view.isComplete() || r.isDone(job) || job.Status.Active > 0 || len(r.view.podsOf(job.UID)) > 0 {
		return
	}
	who, err := identify(job)
	if err != nil {
		return
	}
	what := "the cluster refuses the runner's pod"
	if isQuota(e.Message) {
		what = "the cluster's quota is used up"
	}
	r.report(who, job.UID, faas.RunnerID(job.Name), exitCause{faas.ReasonUnschedulable, withMessage(what, e.Message)})
	r.deletions.mark(job.Name, job.UID)
}

// explain returns why a runner ended, or why its node or pod does not respond. known is false if the runner ended in
// order, its pod seems well, or nothing is known of it.
func (r *reporter) explain(runner faas.RunnerID) (reason faas.Reason, detail string, known bool) {
	r.mu.Lock()
	f, reported := r.exits[runner]
	r.mu.Unlock()
	if reported {
		return f.reason, f.detail, f.reason != ""
	}
	p := r.view.pod(runner)
	if p == nil {
		return "", "", false
	}
	if f, known := disrupted(p); known {
		return f.reason, f.detail, true
	}
	if nodeSilent(p) {
		return faas.ReasonNodeLost, "the runner's node does not report its status", true
	}
	return "", "", false
}
