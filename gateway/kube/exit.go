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

// fate is what became of a runner, or why it does not start.
type fate struct {
	reason faas.Reason // "": it ended in order
	detail string
}

// stuck is why a pod does not run yet, when that is not just a matter of time.
type stuck struct {
	fate

	kind     string        // of what holds it up; another one has patience of its own
	patience time.Duration // how long it may last
	shared   bool          // others that end, or get their place, are a reason to go on waiting
}

const (
	atOnce    = 0
	soon      = 5 * time.Second  // for what does not mend itself, but may just be late
	pullAgain = 20 * time.Second // for a registry that is away: two further tries
	maxSaid   = 600              // bytes of what the cluster says, in a detail
)

// isOver reports whether the pod's containers have ended for good.
func isOver(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// ending tells how a runner ended whose pod is over, or no longer there. The
// Job may be nil. Whoever was told to go has a reason even if it went in order.
func ending(p *corev1.Pod, job *batchv1.Job, now time.Time) fate {
	if f, known := disrupted(p); known {
		return f
	}
	if f, known := byKubelet(p); known {
		return f
	}
	if late(job, now) {
		return fate{faas.ReasonTimedOut, "its Job ran into its deadline, long after the command's own timeout"}
	}
	t := terminated(p)
	switch {
	case t == nil && !isOver(p), t != nil && t.ExitCode == 0 && p.DeletionTimestamp != nil:
		return fate{faas.ReasonRunnerLost, "its pod was deleted"}
	case t == nil && p.Status.Phase == corev1.PodSucceeded:
		return fate{}
	case t == nil:
		return fate{faas.ReasonRunnerLost, said("its pod failed", p.Status.Message)}
	}
	return exitOf(t, p.DeletionTimestamp != nil)
}

// exitOf reads the exit of the runner's container.
func exitOf(t *corev1.ContainerStateTerminated, deleted bool) fate {
	switch {
	case t.ExitCode == task.ExitDone:
		return fate{}
	case t.Reason == "OOMKilled":
		return fate{faas.ReasonOutOfMemory, "the system killed its runner for memory"}
	case strings.Contains(t.Message, "exec format error"):
		return fate{faas.ReasonImagePull, "its image is built for another architecture: " + clip(t.Message)}
	case t.ExitCode == task.ExitStartFailed:
		return fate{faas.ReasonStartFailed, lastLine(t.Message, "its start process failed")}
	case t.Reason == "StartError", t.Reason == "ContainerCannotRun":
		return fate{faas.ReasonRunnerLost, said("its container could not be started", t.Message)}
	case deleted:
		return fate{faas.ReasonRunnerLost, fmt.Sprintf("its pod was deleted, and the runner ended with exit code %d", t.ExitCode)}
	}
	return fate{faas.ReasonRunnerLost, said(fmt.Sprintf("the runner ended with exit code %d", t.ExitCode), lastLine(t.Message, ""))}
}

// disrupted tells who ended a pod from outside, by the condition that Kubernetes adds then.
func disrupted(p *corev1.Pod) (fate, bool) {
	c := condition(p, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue {
		return fate{}, false
	}
	switch c.Reason {
	case "EvictionByEvictionAPI", "PreemptionByScheduler":
		return fate{faas.ReasonEvicted, said("its pod was evicted", c.Message)}, true
	case "DeletionByTaintManager", "DeletionByPodGC":
		return fate{faas.ReasonNodeLost, said("its node is gone or not to be used", c.Message)}, true
	}
	return byKubelet(p)
}

// byKubelet reads why a node ended a pod, or did not take it.
func byKubelet(p *corev1.Pod) (fate, bool) {
	reason := p.Status.Reason
	switch {
	case reason == "Evicted", reason == "Preempting":
		return fate{faas.ReasonEvicted, said("its node evicted the pod", p.Status.Message)}, true
	case reason == "NodeShutdown", reason == "Terminated", reason == "NodeLost":
		return fate{faas.ReasonNodeLost, said("its node was shut down", p.Status.Message)}, true
	case reason == "DeadlineExceeded":
		return fate{faas.ReasonTimedOut, "its pod ran into its deadline, long after the command's own timeout"}, true
	case strings.HasPrefix(reason, "OutOf"), reason == "NodeAffinity", reason == "UnexpectedAdmissionError":
		return fate{faas.ReasonUnschedulable, said("its node had no room for it after all", p.Status.Message)}, true
	}
	return fate{}, false
}

// late reports whether a Job has run into its deadline.
func late(job *batchv1.Job, now time.Time) bool {
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

// whyStuck tells what holds a pod up that does not run; nil: nothing but time.
func whyStuck(p *corev1.Pod, patience time.Duration) *stuck {
	if p.Spec.NodeName == "" {
		return noPlace(p, patience)
	}
	w := waitingFor(p)
	if w == nil {
		return nil
	}
	pull := func(patience time.Duration) *stuck {
		return &stuck{fate: fate{faas.ReasonImagePull, said("its image cannot be pulled", w.Message)}, kind: "pull", patience: patience}
	}
	switch w.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
		return pull(atOnce)
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		if isFinal(w.Message) {
			return pull(atOnce)
		}
		return pull(pullAgain)
	case "CreateContainerConfigError":
		return &stuck{fate: fate{faas.ReasonStartFailed, said("its container cannot be set up", w.Message)}, kind: w.Reason, patience: soon}
	case "CreateContainerError", "RunContainerError":
		return &stuck{fate: fate{faas.ReasonRunnerLost, said("its container could not be started", w.Message)}, kind: w.Reason, patience: soon}
	}
	return nil
}

// isFinal reports whether a registry has answered, so that it would answer the same again.
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

// noPlace is about a pod that no node was found for. One that no node could take
// if it were empty does not wait for others to end.
func noPlace(p *corev1.Pod, patience time.Duration) *stuck {
	c := condition(p, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionFalse || c.Reason != corev1.PodReasonUnschedulable {
		return nil
	}
	s := &stuck{fate: fate{faas.ReasonUnschedulable, said("no node has room for it", c.Message)}, kind: c.Reason, patience: patience, shared: true}
	if strings.Contains(c.Message, "Preemption is not helpful") && !strings.Contains(c.Message, "No preemption victims") {
		s.patience, s.shared = soon, false
	}
	return s
}

// nodeSilent reports whether the node of a pod that ran has stopped reporting: the
// cluster takes its readiness away, and nothing else has changed.
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

// said adds what the cluster says.
func said(what, message string) string {
	if message = clip(message); message != "" {
		return what + ": " + message
	}
	return what
}

// clip makes one line of a message, without a full stop and not too long.
func clip(message string) string {
	return text.Clip(strings.TrimSuffix(strings.Join(strings.Fields(message), " "), "."), maxSaid)
}

// lastLine returns the last line of what a runner wrote, without its name.
func lastLine(message, without string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	last := strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "davit-runner: ")
	if last == "" {
		return without
	}
	return clip(last)
}
