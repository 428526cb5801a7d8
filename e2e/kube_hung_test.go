//go:build cluster

package e2e

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/testenv"
)

// halt stops the runner of the pod with the given uid. It runs on the node, because no process can stop the first
// process of its own pod.
const halt = `
for p in /proc/[0-9]*; do
  if grep -qsE "$1|${1//-/_}" $p/cgroup && [[ $(tr '\0' ' ' <$p/cmdline) == /davit/runner* ]]; then kill -STOP ${p#/proc/} && echo halted; fi
done`

// TestKubeHungRunner: a call whose warm runner hangs fails with runner_lost. The pod is ended although the cluster
// shows it as running, and another runner replaces it, although the function may have only one.
func TestKubeHungRunner(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "hung", `"mode": "warm", "warm": {"min": 0, "max": 1}, "timeout": "10m"`, tool(`echo started; sleep "$1"`))
	path := k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh", "{field:s}"], "response": "file", "wait": "5m", "fields": [{"name": "s", "kind": "number", "default": "0"}]`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a := get(t, k.Gateway, path+"?s=600", nil)
		if reason := a.Header.Get("Davit-Reason"); a.Status != http.StatusServiceUnavailable || reason != "runner_lost" {
			t.Errorf("the caller got %d %s: %.300s", a.Status, reason, a.Body)
		}
		if r := await(t, k.Gateway, a.Header.Get("Davit-Invocation")); r.State != "failed" || r.reason() != "runner_lost" {
			t.Errorf("record: %+v, reason %q", r, r.reason())
		}
	}()
	hung := k.podAtWork(t, f)
	output := k.runPod(t, func(pod *corev1.Pod) {
		yes, root := true, int64(0)
		pod.Spec.HostPID, pod.Spec.NodeName = true, hung.Spec.NodeName
		pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes, RunAsUser: &root}
	}, "bash", "-c", halt, "halt", string(hung.UID))
	if !strings.Contains(output, "halted") {
		t.Errorf("no runner was stopped: %q", output)
		k.remove(t, f) // which ends the call
	}
	<-done
	if got := get(t, k.Gateway, path, nil); got.Status != http.StatusOK || string(got.Body) != "started\n" {
		t.Errorf("the next call: %d %s", got.Status, got.Body)
	}
	testenv.EventuallyWithin(t, kubeWait, "the pod that hung is ended", func() bool {
		pod, err := k.clients.CoreV1().Pods(hung.Namespace).Get(t.Context(), hung.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err != nil || isOver(pod)
	})
}
