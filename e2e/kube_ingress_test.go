//go:build cluster

package e2e

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/testenv"
)

// TestKubeStrangers: a pod that is not Davit's, and that no network policy restricts, reaches the public ports, but
// neither functions' pods nor the runner listener, Redis and the other services of the gateways.
func TestKubeStrangers(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	closed := map[string]string{"a function's pod": k.listener(t)}
	for what, at := range k.addresses(t, davitNamespace, "davit-redis") {
		closed[what] = at
	}
	for what, at := range k.addresses(t, "davit-builder", "davit-dockerd") {
		closed[what] = at
	}
	var free []string
	for _, g := range k.replicas(t, 2) {
		closed["the runner listener of "+g.Name] = net.JoinHostPort(g.Status.PodIP, "8082")
		for _, port := range []string{"8080", "8081", "8083"} {
			free = append(free, net.JoinHostPort(g.Status.PodIP, port))
		}
	}
	targets := slices.Clone(free)
	for _, at := range closed {
		targets = append(targets, at)
	}
	open := opened(t, k.stranger(t, targets), targets)
	for what, at := range closed {
		if slices.Contains(open, at) {
			t.Errorf("the pod reaches %s, at %s", what, at)
		}
	}
	for _, at := range free {
		if !slices.Contains(open, at) {
			t.Errorf("the pod does not reach %s", at)
		}
	}
}

// stranger runs probe in a pod in a new namespace, and returns its output.
func (k *kube) stranger(t *testing.T, targets []string) string {
	t.Helper()
	return k.runPod(t, func(*corev1.Pod) {}, append([]string{"bash", "-c", probe, "probe"}, targets...)...)
}

// runPod runs a command in a pod in a new namespace, with the base image of functions, and returns its output.
func (k *kube) runPod(t *testing.T, form func(*corev1.Pod), command ...string) string {
	t.Helper()
	namespaces := k.clients.CoreV1().Namespaces()
	made, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "davit-e2e-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespaces.Delete(context.WithoutCancel(t.Context()), made.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	image := strings.Replace(k.settings["DAVIT_BASE_IMAGE"], k.settings["DAVIT_REGISTRY"]+"/", k.settings["DAVIT_REGISTRY_PULL"]+"/", 1) // as nodes name it
	pods, none := k.clients.CoreV1().Pods(made.Name), false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "command"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: &none,
			Containers: []corev1.Container{{Name: "command", Image: image, Command: command}},
		},
	}
	form(pod)
	if pod, err = pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.EventuallyWithin(t, kubeWait, "the pod has ended", func() bool {
		if pod, err = pods.Get(t.Context(), pod.Name, metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		return isOver(pod)
	})
	output, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pod.Status.Phase != corev1.PodSucceeded {
		t.Fatalf("%q: %s: %s", command, pod.Status.Phase, output)
	}
	return string(output)
}

func isOver(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
