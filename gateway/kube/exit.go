package kube

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/text"
)

// exitCause is why a runner ended, or why it does not start.
type exitCause struct {
	reason faas.Reason // "": the runner ended in order
	detail string
}

// stuck is an obstacle that keeps a pod from running.
type stuck struct {
	exitCause

	kind   string        // of the obstacle; the limit starts anew when the kind changes
	limit  time.Duration // how long the obstacle may last
	shared bool          // the limit starts anew when another pod ends or is scheduled
}

const (
	atOnce      = 0
	soon        = 5 * time.Second  // for an obstacle that stays, unless an object is only late
	pullRetries = 20 * time.Second // for a registry that does not answer: two more pulls
	maxMessage  = 600              // bytes of a message of the cluster in a detail

	// keepExitsFor is how long exit causes, and the uids of Jobs that have ended or were to be deleted, are kept.
	keepExitsFor = 10 * time.Minute
)

// isOver reports whether the pod's containers have ended for good.
func isOver(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// podExitCause returns why the runner of a pod ended; the pod is over or deleted. job may be nil. A pod that was
// evicted or deleted has a reason even if its runner exited with 0.
func podExitCause(p *corev1.Pod, job *batchv1.Job, now time.Time) exitCause {
	if f, known := disrupted(p); known {
		return f
	}
	if f, known := byKubelet(p); known {
		return f
	}
	if deadlineExceeded(job, now) {
		return exitCause{faas.ReasonTimedOut, "Kubernetes ended the runner, because its Job ran 30 minutes longer than the command's timeout"}
	}
	t := terminated(p)
	switch {
	case t == nil && !isOver(p), t != nil && t.ExitCode == 0 && p.DeletionTimestamp != nil:
		return exitCause{faas.ReasonRunnerLost, "the runner's pod was deleted, which ended the runner"}
	case t == nil && p.Status.Phase == corev1.PodSucceeded:
		return exitCause{}
	case t == nil:
		return exitCause{faas.ReasonRunnerLost, withMessage("the runner's pod failed", p.Status.Message)}
	}
	return containerExitCause(t, p.DeletionTimestamp != nil)
}

// containerExitCause returns why the runner's container ended.
func containerExitCause(t *corev1.ContainerStateTerminated, deleted bool) exitCause {
	switch {
	case t.ExitCode == task.ExitDone:
		return exitCause{}
	case t.Reason == "OOMKilled":
		return exitCause{faas.ReasonOutOfMemory, "the kernel killed the runner, because its pod used more memory than resources.memory allows; raise resources.memory"}
	case strings.Contains(t.Message, "exec format error"):
		return exitCause{faas.ReasonImagePull, withMessage("the image cannot run on the node, because it is built for another architecture; build it for the node's", t.Message)}
	case t.ExitCode == task.ExitStartFailed:
		return exitCause{faas.ReasonStartFailed, lastLine(t.Message, "the start process failed and wrote no output")}
	case t.Reason == "StartError", t.Reason == "ContainerCannotRun":
		return exitCause{faas.ReasonRunnerLost, withMessage("the runner's container could not be started", t.Message)}
	case deleted:
		return exitCause{faas.ReasonRunnerLost, fmt.Sprintf("the runner's pod was deleted, and the runner ended with exit code %d", t.ExitCode)}
	}
	return exitCause{faas.ReasonRunnerLost, withMessage(fmt.Sprintf("the runner ended with exit code %d", t.ExitCode), lastLine(t.Message, ""))}
}

// disrupted returns the cause that the condition DisruptionTarget names, if the pod has that condition: Kubernetes sets
// it when it ends a pod.
func disrupted(p *corev1.Pod) (exitCause, bool) {
	c := condition(p, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue {
		return exitCause{}, false
	}
	switch c.Reason {
	case "EvictionByEvictionAPI", "PreemptionByScheduler":
		return exitCause{faas.ReasonEvicted, withMessage("the runner's pod was evicted", c.Message)}, true
	case "DeletionByTaintManager", "DeletionByPodGC":
		return exitCause{faas.ReasonNodeLost, withMessage("the runner's pod was deleted, because its node is gone or has a taint that the pod does not tolerate", c.Message)}, true
	}
	return byKubelet(p)
}

// byKubelet returns why the kubelet ended or rejected a pod, if it did.
func byKubelet(p *corev1.Pod) (exitCause, bool) {
	reason := p.Status.Reason
	switch {
	case reason == "Evicted", reason == "Preempting":
		return exitCause{faas.ReasonEvicted, withMessage("the node evicted the runner's pod", p.Status.Message)}, true
	case reason == "NodeShutdown", reason == "Terminated", reason == "NodeLost":
		return exitCause{faas.ReasonNodeLost, withMessage("the runner's node was shut down or lost", p.Status.Message)}, true
	case reason == "DeadlineExceeded":
		return exitCause{faas.ReasonTimedOut, "Kubernetes ended the runner, because its pod ran longer than its deadline allows"}, true
	case strings.HasPrefix(reason, "OutOf"), reason == "NodeAffinity", reason == "UnexpectedAdmissionError":
		return exitCause{faas.ReasonUnschedulable, withMessage("the node rejected the runner's pod, which the scheduler had assigned to it", p.Status.Message)}, true
	}
	return exitCause{}, false
}

// deadlineExceeded reports whether a Job has exceeded its deadline.
func deadlineExceeded(job *batchv1.Job, now time.Time) bool {
	if job == nil {
		return false
	}
	for _, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobFailed || c.Type == batchv1.JobFailureTarget) && c.Reason == batchv1.JobReasonDeadlineExceeded {
			return true
		}
	}
	most := job.Spec.ActiveDeadlineSeconds
	return most != nil && job.Status.StartTime != nil && now.Sub(job.Status.StartTime.Time) >= time.Duration(*most)*time.Second
}

// whyStuck returns the obstacle that keeps a pod from running; nil: there is none, and the pod only needs time.
func whyStuck(p *corev1.Pod, patience time.Duration) *stuck {
	if p.Spec.NodeName == "" {
		return whyUnscheduled(p, patience)
	}
	w := waitingFor(p)
	if w == nil {
		return nil
	}
	pull := func(patience time.Duration) *stuck {
		return &stuck{exitCause: exitCause{faas.ReasonImagePull, withMessage("the node cannot pull the image", w.Message)}, kind: "pull", limit: patience}
	}
	switch w.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
		return pull(atOnce)
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		if isFinal(w.Message) {
			return pull(atOnce)
		}
		return pull(pullRetries)
	case "CreateContainerConfigError":
		return &stuck{exitCause: exitCause{faas.ReasonStartFailed, withMessage("the runner's container cannot be set up", w.Message)}, kind: w.Reason, limit: soon}
	case "CreateContainerError", "RunContainerError":
		return &stuck{exitCause: exitCause{faas.ReasonRunnerLost, withMessage("the runner's container could not be started", w.Message)}, kind: w.Reason, limit: soon}
	}
	return nil
}

// isFinal reports whether the registry itself refused the image: another pull would get the same answer.
func isFinal(message string) bool {
	for _, word := range []string{
		"not found", "manifest unknown", "no match for platform", "pull access denied", "unauthorized", "denied",
		"401 Unauthorized", "403 Forbidden", "invalid reference",
	} {
		if strings.Contains(message, word) {
			return true
		}
	}
	return false
}

// whyUnscheduled returns the obstacle of a pod that the scheduler found no node for. If the pod would not fit on an
// empty node either, the obstacle is not shared.
func whyUnscheduled(p *corev1.Pod, patience time.Duration) *stuck {
	c := condition(p, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionFalse || c.Reason != corev1.PodReasonUnschedulable {
		return nil
	}
	s := &stuck{exitCause: exitCause{faas.ReasonUnschedulable, withMessage("no node has room for the runner", c.Message) + "; lower the function's resources, or add nodes"}, kind: c.Reason, limit: patience, shared: true}
	if strings.Contains(c.Message, "Preemption is not helpful") && !strings.Contains(c.Message, "No preemption victims") {
		s.limit, s.shared = soon, false
	}
	return s
}

// nodeSilent reports whether the node of a running pod has stopped reporting its status: the node controller then
// clears PodReady and leaves ContainersReady as it was.
func nodeSilent(p *corev1.Pod) bool {
	ready, containers := condition(p, corev1.PodReady), condition(p, corev1.ContainersReady)
	return p.Status.Phase == corev1.PodRunning && ready != nil && ready.Status != corev1.ConditionTrue &&
		containers != nil && containers.Status == corev1.ConditionTrue
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func terminated(p *corev1.Pod) *corev1.ContainerStateTerminated {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.Name == containerName {
			return s.State.Terminated
		}
	}
	return nil
}

func waitingFor(p *corev1.Pod) *corev1.ContainerStateWaiting {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.Name == containerName {
			return s.State.Waiting
		}
	}
	return nil
}

// withMessage appends a message of the cluster to what.
func withMessage(what, message string) string {
	if message = clip(message); message != "" {
		return what + ": " + message
	}
	return what
}

// clip returns a message as one line of at most maxMessage bytes, without its full stop.
func clip(message string) string {
	return text.Clip(strings.TrimSuffix(strings.Join(strings.Fields(message), " "), "."), maxMessage)
}

// lastLine returns the last line of a runner's output without the program's name; without is the text for an empty
// line.
func lastLine(message, without string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	last := strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "davit-runner: ")
	if last == "" {
		return without
	}
	return clip(last)
}
