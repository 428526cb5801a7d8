package kube

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
)

// aPod returns a pod on a node, modified by change.
func aPod(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	change(p)
	return p
}

// ended returns a change after which the runner's container has ended.
func ended(code int32, reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodFailed
		if code == 0 {
			p.Status.Phase = corev1.PodSucceeded
		}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message, FinishedAt: metav1.Now()},
		}}}
	}
}

func disruptedBy(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, Message: "as reported"})
	}
}

func failedAs(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, reason, "as reported"
	}
}

func deleted(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1000, 0)} }

func TestEnding(t *testing.T) {
	now := time.Unix(2000, 0)
	lateJob := &batchv1.Job{
		Spec:   batchv1.JobSpec{ActiveDeadlineSeconds: pointer(int64(60))},
		Status: batchv1.JobStatus{StartTime: &metav1.Time{Time: now.Add(-time.Minute)}},
	}
	reportedLate := &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Reason: batchv1.JobReasonDeadlineExceeded}}}}
	for _, c := range []struct {
		name   string
		pod    []func(*corev1.Pod)
		job    *batchv1.Job
		reason faas.Reason
		detail string
	}{
		{name: "in order", pod: []func(*corev1.Pod){ended(0, "Completed", "")}},
		{name: "in order, without a status", pod: []func(*corev1.Pod){func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }}},
		{name: "killed for memory", pod: []func(*corev1.Pod){ended(137, "OOMKilled", "")}, reason: faas.ReasonOutOfMemory, detail: "memory"},
		{
			name: "its start process", pod: []func(*corev1.Pod){ended(3, "Error", "level=ERROR\ndavit-runner: the worker did not get ready: it ended with exit code 4\n")},
			reason: faas.ReasonStartFailed, detail: "the worker did not get ready: it ended with exit code 4",
		},
		{
			name: "lost", pod: []func(*corev1.Pod){ended(1, "Error", "a\ndavit-runner: no gateway can be reached\n")},
			reason: faas.ReasonRunnerLost, detail: "the runner ended with exit code 1: no gateway can be reached",
		},
		{name: "killed", pod: []func(*corev1.Pod){ended(137, "Error", "")}, reason: faas.ReasonRunnerLost, detail: "exit code 137"},
		{name: "another architecture", pod: []func(*corev1.Pod){ended(128, "StartError", "exec /davit/runner: exec format error")}, reason: faas.ReasonImagePull, detail: "architecture"},
		{name: "no runner in the image", pod: []func(*corev1.Pod){ended(128, "StartError", "exec: \"/davit/runner\": stat: no such file")}, reason: faas.ReasonRunnerLost, detail: "/davit/runner"},
		{name: "deleted while it ran", pod: []func(*corev1.Pod){deleted}, reason: faas.ReasonRunnerLost, detail: "deleted"},
		{name: "deleted, and ended in order", pod: []func(*corev1.Pod){ended(0, "Completed", ""), deleted}, reason: faas.ReasonRunnerLost, detail: "deleted"},
		{name: "deleted, and killed", pod: []func(*corev1.Pod){ended(137, "Error", ""), deleted}, reason: faas.ReasonRunnerLost, detail: "deleted"},
		{name: "evicted by its node", pod: []func(*corev1.Pod){failedAs("Evicted")}, reason: faas.ReasonEvicted, detail: "as reported"},
		{name: "evicted by its node, as a condition", pod: []func(*corev1.Pod){failedAs("Evicted"), disruptedBy("TerminationByKubelet")}, reason: faas.ReasonEvicted},
		{name: "evicted", pod: []func(*corev1.Pod){ended(0, "Completed", ""), disruptedBy("EvictionByEvictionAPI")}, reason: faas.ReasonEvicted, detail: "as reported"},
		{name: "preempted", pod: []func(*corev1.Pod){disruptedBy("PreemptionByScheduler")}, reason: faas.ReasonEvicted},
		{name: "node tainted", pod: []func(*corev1.Pod){disruptedBy("DeletionByTaintManager")}, reason: faas.ReasonNodeLost},
		{name: "node deleted", pod: []func(*corev1.Pod){failedAs(""), disruptedBy("DeletionByPodGC")}, reason: faas.ReasonNodeLost, detail: "as reported"},
		{name: "node shut down", pod: []func(*corev1.Pod){failedAs("NodeShutdown")}, reason: faas.ReasonNodeLost},
		{name: "not admitted by its node", pod: []func(*corev1.Pod){failedAs("OutOfcpu")}, reason: faas.ReasonUnschedulable},
		{name: "the pod's deadline", pod: []func(*corev1.Pod){failedAs("DeadlineExceeded")}, reason: faas.ReasonTimedOut},
		{name: "the Job's deadline", pod: []func(*corev1.Pod){ended(143, "Error", ""), deleted}, job: lateJob, reason: faas.ReasonTimedOut},
		{name: "the Job's deadline, as a condition", pod: []func(*corev1.Pod){deleted}, job: reportedLate, reason: faas.ReasonTimedOut},
		{name: "failed without a word", pod: []func(*corev1.Pod){failedAs("")}, reason: faas.ReasonRunnerLost, detail: "the runner's pod failed: as reported"},
	} {
		p := aPod(func(p *corev1.Pod) {
			for _, change := range c.pod {
				change(p)
			}
		})
		got := podExitCause(p, c.job, now)
		if got.reason != c.reason || !strings.Contains(got.detail, c.detail) || (got.detail == "") != (c.reason == "") {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, got.reason, got.detail, c.reason, c.detail)
		}
	}
}

func TestWhyStuck(t *testing.T) {
	const patience = 45 * time.Second
	waiting := func(reason, message string) *corev1.Pod {
		return aPod(func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
			}}}
		})
	}
	unplaced := func(message string) *corev1.Pod {
		return aPod(func(p *corev1.Pod) {
			p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message}}
		})
	}
	for _, c := range []struct {
		name     string
		pod      *corev1.Pod
		reason   faas.Reason // "": not stuck
		patience time.Duration
		shared   bool
	}{
		{"starts", waiting("ContainerCreating", ""), "", 0, false},
		{"no status yet", aPod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }), "", 0, false},
		{"not yet looked at by the scheduler", aPod(func(p *corev1.Pod) { p.Spec.NodeName = "" }), "", 0, false},
		{"no such image", waiting("ErrImagePull", "failed to resolve reference \"x\": x: not found"), faas.ReasonImagePull, atOnce, false},
		{"wrong platform", waiting("ErrImagePull", "no match for platform in manifest: not found"), faas.ReasonImagePull, atOnce, false},
		{"no login", waiting("ImagePullBackOff", "pull access denied"), faas.ReasonImagePull, atOnce, false},
		{"registry away", waiting("ErrImagePull", "dial tcp 10.0.0.1:5000: connect: connection refused"), faas.ReasonImagePull, pullRetries, false},
		{"bad name", waiting("InvalidImageName", ""), faas.ReasonImagePull, atOnce, false},
		{"secret missing", waiting("CreateContainerConfigError", "secret \"value-x\" not found"), faas.ReasonStartFailed, soon, false},
		{"cannot be made", waiting("CreateContainerError", "…"), faas.ReasonRunnerLost, soon, false},
		{"full", unplaced("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."), faas.ReasonUnschedulable, patience, true},
		{"too large", unplaced("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."), faas.ReasonUnschedulable, soon, false},
		{"too large for one, full the other", unplaced("preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."), faas.ReasonUnschedulable, patience, true},
	} {
		got := whyStuck(c.pod, patience)
		switch {
		case c.reason == "" && got != nil:
			t.Errorf("%s: %+v", c.name, got)
		case c.reason != "" && (got == nil || got.reason != c.reason || got.limit != c.patience || got.shared != c.shared || got.detail == ""):
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestNodeSilent(t *testing.T) {
	for _, c := range []struct {
		ready, containers corev1.ConditionStatus
		want              bool
	}{
		{corev1.ConditionTrue, corev1.ConditionTrue, false},
		{corev1.ConditionFalse, corev1.ConditionFalse, false},
		{corev1.ConditionFalse, corev1.ConditionTrue, true},
		{corev1.ConditionUnknown, corev1.ConditionTrue, true},
	} {
		p := aPod(func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: c.ready}, {Type: corev1.ContainersReady, Status: c.containers}}
		})
		if got := nodeSilent(p); got != c.want {
			t.Errorf("ready %s, containers %s: %v", c.ready, c.containers, got)
		}
	}
}

func TestClip(t *testing.T) {
	if got := clip("  a\n\tb.  "); got != "a b" {
		t.Errorf("%q", got)
	}
	if got := clip(strings.Repeat("é", 2*maxMessage)); len(got) > maxMessage+8 || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d bytes, ends in %q", len(got), got[len(got)-8:])
	}
}
