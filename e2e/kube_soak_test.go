//go:build cluster

package e2e

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/testenv"
)

const (
	kubeSoakCallers = 6
	jobsStay        = 5 * time.Minute // until Kubernetes removes an ended Job
	jobsLate        = time.Minute     // how much later it may do so
)

// kubeSoak is a mixed load on Davit on a cluster. It measures Davit's objects when the load pauses.
type kubeSoak struct {
	answers

	t         *testing.T
	k         *kube
	functions map[string]string // by mode
	store     *minio.Client
	bucket    string
	earlier   int // objects of earlier calls
}

// TestKubeSoak: after a long mixed load there are no more pods, Jobs and objects, and the gateways use no more memory,
// than after its first quarter.
func TestKubeSoak(t *testing.T) {
	s := &kubeSoak{t: t, k: onKube(t), functions: map[string]string{}}
	for mode, spec := range map[string]string{
		"job":     `"mode": "job"`,
		"standby": `"standby": {"min": 2, "max": 3}`,
		"warm":    `"mode": "warm", "warm": {"min": 1, "max": 2, "concurrency": 2, "idle": "2s"}`,
	} {
		f := s.k.function(t, "soak-"+mode, spec+`, "max_concurrency": 3, "max_queue": {"calls": 20, "wait": "20s"}`, tool(`sleep "$1"; head -c 20000 /dev/urandom; exit "$2"`))
		s.k.trigger(t, f, `"methods": ["POST"], "command": ["sh", "tool.sh", "{field:s}", "{field:code}"],
			"timeout": "2s", "wait": "1s", "max_body": "4Ki", "on_disconnect": "cancel", "retention": "1s"`)
		s.functions[mode] = f
	}
	s.store, s.bucket = s.k.store(t)
	s.earlier = s.objects("invocations/")
	s.soak(t, kubeSoakCallers, func(n int) int {
		return mixedCall(t, s.k.Gateway, "/"+s.functions[mixedModes[n%len(mixedModes)]], n)
	}, s.rest)
}

// rest waits until nothing is left of the calls, and measures.
func (s *kubeSoak) rest() map[string]float64 {
	s.t.Helper()
	s.store, s.bucket = s.k.store(s.t)
	testenv.EventuallyWithin(s.t, kubeWait, "no call is in flight", func() bool {
		inFlight := 0.0
		for _, metrics := range s.metrics() {
			inFlight += sumMetric(s.t, metrics, "davit_invocations_in_flight")
		}
		return inFlight == 0
	})
	var pods, jobs map[string]int
	defer func() {
		if s.t.Failed() {
			s.t.Logf("pods %v, jobs %v", pods, jobs)
		}
	}()
	kept := map[string]int{"standby": 2, "warm": 1}
	testenv.EventuallyWithin(s.t, 2*kubeWait, "there are no pods and Jobs but the kept ones", func() bool {
		pods, jobs = s.there()
		return maps.Equal(pods, kept) && maps.Equal(jobs, kept)
	})
	testenv.EventuallyWithin(s.t, 2*kubeWait, "the objects of the calls are gone", func() bool { return s.objects("invocations/") <= s.earlier })
	held := map[string]float64{"objects": float64(s.objects("")), "pods": float64(pods["standby"] + pods["warm"]), "Jobs": float64(jobs["standby"] + jobs["warm"])}
	for i, metrics := range s.metrics() {
		maps.Copy(held, gatewayUse(s.t, i, metrics))
		held[fmt.Sprintf("gateway %d start", i)] = sumMetric(s.t, metrics, "process_start_time_seconds") // because a restart would hide a leak
	}
	return held
}

// metrics returns the metrics of both gateways.
func (s *kubeSoak) metrics() (all [][]byte) {
	for _, pod := range s.k.replicas(s.t, 2) {
		body, err := s.k.clients.CoreV1().Pods(davitNamespace).ProxyGet("http", pod.Name, "8080", "metrics", nil).DoRaw(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, body)
	}
	return all
}

// there counts the running pods and Jobs of each mode, and the ended ones that should have been removed.
func (s *kubeSoak) there() (pods, jobs map[string]int) {
	pods, jobs = map[string]int{}, map[string]int{}
	for mode, f := range s.functions {
		of := metav1.ListOptions{LabelSelector: "davit.dev/function=" + f}
		p, err := s.k.clients.CoreV1().Pods(functionsNamespace).List(s.t.Context(), of)
		if err != nil {
			s.t.Fatal(err)
		}
		j, err := s.k.clients.BatchV1().Jobs(functionsNamespace).List(s.t.Context(), of)
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range p.Items {
			count(pods, mode, podEnd(&p.Items[i]))
		}
		for i := range j.Items {
			count(jobs, mode, jobEnd(&j.Items[i]))
		}
	}
	return pods, jobs
}

// count counts an object that has not ended by its mode, and one that ended long ago as old.
func count(n map[string]int, mode string, end time.Time) {
	switch {
	case end.IsZero():
		n[mode]++
	case time.Since(end) > jobsStay+jobsLate:
		n["old"]++
	}
}

// jobEnd returns when a Job ended; zero: not yet.
func jobEnd(j *batchv1.Job) (end time.Time) {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return end
}

// podEnd returns when a pod ended; zero: not yet.
func podEnd(p *corev1.Pod) (end time.Time) {
	if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
		return end
	}
	end = p.CreationTimestamp.Time
	for i := range p.Status.ContainerStatuses {
		if over := p.Status.ContainerStatuses[i].State.Terminated; over != nil && over.FinishedAt.After(end) {
			end = over.FinishedAt.Time
		}
	}
	return end
}

// objects counts the store's objects.
func (s *kubeSoak) objects(prefix string) int {
	return countObjects(s.t, s.store, s.bucket, prefix)
}
