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

// still is a Launcher that nobody runs: tests say what its watches tell.
func still(t *testing.T, now *time.Time) (l *Launcher, exits *[]faas.Exit) {
	t.Helper()
	exits = &[]faas.Exit{}
	l, err := New(Options{
		Clients: newFakeCluster(t).clients, Namespace: testNamespace, Gateways: []string{"gateways:8082"},
		Token: func(faas.RevisionRef) string { return "token" }, Now: func() time.Time { return *now },
		Unschedulable: 45 * time.Second,
	})
	must(t, err)
	l.exited = func(e faas.Exit) { *exits = append(*exits, e) }
	return l, exits
}

func labelled(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := aPod(change)
	p.Name, p.Namespace, p.UID = name, testNamespace, types.UID("uid-of-"+name)
	p.Labels = labelsOf(revision(nil), faas.StartJob, anInvocation)
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: callJob(anInvocation), UID: "uid-of-job", Controller: pointer(true)}}
	return p
}

// TestRoom: a pod waits for others to make room as long as they do.
func TestRoom(t *testing.T) {
	now := time.Now()
	l, exits := still(t, &now)
	waiting := labelled("waiting", func(p *corev1.Pod) {
		p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "1 No preemption victims found",
		}}
	})
	l.podSeen(waiting)
	for i := range 3 {
		now = now.Add(40 * time.Second)
		other := labelled(fmt.Sprint("other-", i), ended(0, "Completed", ""))
		terminated(other).FinishedAt = metav1.NewTime(now)
		other.Labels = labelsOf(revision(nil), faas.StartStandby, "")
		l.podSeen(other)
		now = now.Add(40 * time.Second)
		l.podSeen(waiting)
	}
	if n := len(*exits); n != 3 {
		t.Fatalf("%d exits, want those of the three others: %+v", n, *exits)
	}
	now = now.Add(10 * time.Second)
	l.podSeen(waiting)
	l.podSeen(waiting)
	if n := len(*exits); n != 4 || (*exits)[3].Reason != faas.ReasonUnschedulable {
		t.Fatalf("%d exits: %+v", n, *exits)
	}
}

// TestOldNews: what was over long before this gateway is not told, and can be asked for.
func TestOldNews(t *testing.T) {
	now := time.Now()
	l, exits := still(t, &now)
	old := labelled("old", ended(137, "OOMKilled", ""))
	old.Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(now.Add(-2 * newsFor))
	l.podSeen(old)
	if reason, _, known := l.Explain("old"); len(*exits) > 0 || !known || reason != faas.ReasonOutOfMemory {
		t.Errorf("exits %+v; explained %q, %v", *exits, reason, known)
	}
	now = now.Add(rememberFor + time.Second)
	l.forgetOld()
	if _, _, known := l.Explain("old"); known {
		t.Error("it is remembered for ever")
	}
}

// TestBareJob: a Job that is deleted before it has a pod is lost, once that is sure.
func TestBareJob(t *testing.T) {
	now := time.Now()
	l, exits := still(t, &now)
	rev := revision(nil)
	job, err := l.jobOf(callJob(anInvocation), rev, faas.StartJob, anInvocation, time.Minute)
	must(t, err)
	done := job.DeepCopy()
	done.UID, done.Status.Conditions = "uid-of-another", []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	l.jobGone(done) // its time after its end was over
	job.UID = "uid-of-job"
	l.noteLaunched(anInvocation, job.UID)
	l.jobGone(job)
	l.lookAtBare()
	if len(*exits) > 0 {
		t.Fatalf("told at once: %+v", *exits)
	}
	now = now.Add(bareFor)
	l.lookAtBare()
	l.lookAtBare()
	if len(*exits) != 1 || (*exits)[0].Reason != faas.ReasonRunnerLost || (*exits)[0].Invocation != anInvocation || !strings.Contains((*exits)[0].Detail, "Job") {
		t.Fatalf("%+v", *exits)
	}
}
