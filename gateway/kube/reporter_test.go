package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"davit/internal/faas"
)

// idleLauncher returns a Launcher without Run: tests call the handlers of its watches.
func idleLauncher(t *testing.T, now *time.Time) (l *Launcher, exits *[]faas.Exit) {
	t.Helper()
	exits = &[]faas.Exit{}
	l, err := New(Options{
		Clients: newFakeCluster(t).clients, Namespace: testNamespace, Gateways: []string{"gateways:8082"},
		Token: func(faas.RevisionRef) string { return "token" }, Now: func() time.Time { return *now },
		Unschedulable: 45 * time.Second,
	})
	must(t, err)
	l.reporter.exited = func(e faas.Exit) { *exits = append(*exits, e) }
	return l, exits
}

func labelled(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := aPod(change)
	p.Name, p.Namespace, p.UID = name, testNamespace, types.UID("uid-of-"+name)
	p.Labels = labelsOf(revision(nil), faas.StartJob, anInvocation)
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: callJob(anInvocation), UID: "uid-of-job", Controller: pointer(true)}}
	return p
}

// TestUnschedulable checks that the time limit of an unschedulable pod starts anew when another pod ends.
func TestUnschedulable(t *testing.T) {
	now := time.Now()
	l, exits := idleLauncher(t, &now)
	waiting := labelled("waiting", func(p *corev1.Pod) {
		p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "1 No preemption victims found",
		}}
	})
	l.reporter.onPod(waiting)
	for i := range 3 {
		now = now.Add(40 * time.Second)
		other := labelled(fmt.Sprint("other-", i), ended(0, "Completed", ""))
		terminated(other).FinishedAt = metav1.NewTime(now)
		other.Labels = labelsOf(revision(nil), faas.StartStandby, "")
		l.reporter.onPod(other)
		now = now.Add(40 * time.Second)
		l.reporter.onPod(waiting)
	}
	if n := len(*exits); n != 3 {
		t.Fatalf("%d exits, want those of the three others: %+v", n, *exits)
	}
	now = now.Add(10 * time.Second)
	l.reporter.onPod(waiting)
	l.reporter.onPod(waiting)
	if n := len(*exits); n != 4 || (*exits)[3].Reason != faas.ReasonUnschedulable {
		t.Fatalf("%d exits: %+v", n, *exits)
	}
}

// TestOldExit checks that an end from long before this gateway started is not reported, and that Explain returns it.
func TestOldExit(t *testing.T) {
	now := time.Now()
	l, exits := idleLauncher(t, &now)
	old := labelled("old", ended(137, "OOMKilled", ""))
	old.Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(now.Add(-2 * reportWithin))
	l.reporter.onPod(old)
	if reason, _, known := l.Explain("old"); len(*exits) > 0 || !known || reason != faas.ReasonOutOfMemory {
		t.Errorf("exits %+v; explained %q, %v", *exits, reason, known)
	}
	now = now.Add(keepExitsFor + time.Second)
	l.reporter.removeExpired()
	if _, _, known := l.Explain("old"); known {
		t.Error("it is remembered for ever")
	}
}

// TestPodlessJob checks that a Job deleted before it has a pod is reported as lost, after podWait.
func TestPodlessJob(t *testing.T) {
	now := time.Now()
	l, exits := idleLauncher(t, &now)
	rev := revision(nil)
	job, err := jobOf(callJob(anInvocation), rev, faas.StartJob, anInvocation, time.Minute, &l.options)
	must(t, err)
	done := job.DeepCopy()
	done.UID, done.Status.Conditions = "uid-of-another", []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	l.reporter.onJobDeleted(done) // the Job had ended before, and its TTL was over
	job.UID = "uid-of-job"
	l.reporter.setLaunched(anInvocation, job.UID)
	l.reporter.onJobDeleted(job)
	l.reporter.reportPodless()
	if len(*exits) > 0 {
		t.Fatalf("reported at once: %+v", *exits)
	}
	now = now.Add(podWait)
	l.reporter.reportPodless()
	l.reporter.reportPodless()
	if len(*exits) != 1 || (*exits)[0].Reason != faas.ReasonRunnerLost || (*exits)[0].Invocation != anInvocation || !strings.Contains((*exits)[0].Detail, "Job") {
		t.Fatalf("%+v", *exits)
	}
}
