//go:build cluster

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// diskMeasured is how long the kubelet may need to evict a pod for its disk use, because it measures volumes once a
// minute and compares every ten seconds.
const diskMeasured = 70 * time.Second

// TestKubePodLost: if a call's pod ends while its command runs, the caller gets the reason, and the command does not
// run again.
func TestKubePodLost(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	now := int64(0)
	soft := metav1.DeletePropagationBackground
	for name, c := range map[string]struct {
		spec    string
		command string
		end     func(t *testing.T, pod *corev1.Pod) error
		late    time.Duration // until Kubernetes ends the pod
		want    failure
	}{
		"deleted": {"", "echo started; sleep 300", func(t *testing.T, pod *corev1.Pod) error {
			return k.clients.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		}, 0, failure{http.StatusServiceUnavailable, "runner_lost", "", 0}},
		"job-deleted": {"", "echo started; sleep 300", func(t *testing.T, pod *corev1.Pod) error {
			return k.clients.BatchV1().Jobs(pod.Namespace).Delete(t.Context(), pod.Labels["job-name"], metav1.DeleteOptions{GracePeriodSeconds: &now, PropagationPolicy: &soft})
		}, 0, failure{http.StatusServiceUnavailable, "runner_lost", "", 0}},
		"evicted": {"", "echo started; sleep 300", func(t *testing.T, pod *corev1.Pod) error {
			return k.clients.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
		}, 0, failure{http.StatusServiceUnavailable, "evicted", "evicted", 0}},
		"disk": {
			"", "echo started; head -c 200000000 /dev/zero > large; sleep 300", func(*testing.T, *corev1.Pod) error { return nil }, diskMeasured,
			failure{http.StatusServiceUnavailable, "evicted", "evicted", 0},
		},
		"disk-of-root": {
			`"writable_root": true`, "echo started; head -c 200000000 /dev/zero > /tmp/large; sleep 300", func(*testing.T, *corev1.Pod) error { return nil }, diskMeasured,
			failure{http.StatusServiceUnavailable, "evicted", "evicted", 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := k.function(t, "lost-"+name, c.spec, tool(c.command))
			path := k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh"], "wait": "5m"`)
			done := make(chan struct{})
			go func() {
				defer close(done)
				k.failsWithin(t, path, time.Minute+c.late, c.want)
			}()
			if err := c.end(t, k.podAtWork(t, f)); err != nil {
				t.Error(err)
			}
			<-done
			if all := list(t, k.Gateway, f); len(all) != 1 || all[0].Attempt != 1 {
				t.Errorf("records: %+v", all)
			}
		})
	}
}

// podAtWork waits until the function's only call runs its command, and returns its pod.
func (k *kube) podAtWork(t *testing.T, function string) *corev1.Pod {
	t.Helper()
	testenv.EventuallyWithin(t, kubeWait, "the call of "+function+" runs", func() bool {
		all := list(t, k.Gateway, function)
		return len(all) == 1 && strings.HasPrefix(string(logOf(t, k.Gateway, all[0].ID)), "started")
	})
	pods, err := k.clients.CoreV1().Pods(functionsNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "davit.dev/function=" + function})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("pods of %s: %+v, %v", function, pods, err)
	}
	return &pods.Items[0]
}

// logOf returns a call's log so far.
func logOf(t *testing.T, g *rig.Gateway, id string) []byte {
	t.Helper()
	return admin(t, g, http.MethodGet, "/v1/invocations/"+id+"/log", "").Body
}
