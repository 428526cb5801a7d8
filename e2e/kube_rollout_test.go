//go:build cluster

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"davit/internal/testenv"
)

// TestKubeRollingUpdate: while the gateways are replaced one by one, every call is answered, and every accepted
// invocation runs once.
func TestKubeRollingUpdate(t *testing.T) {
	k := onKube(t)
	warm := k.function(t, "rolling", `"mode": "warm", "warm": {"min": 1, "max": 2, "concurrency": 2}`, tool(`echo "$1"`))
	job := k.function(t, "rolling", "", tool(`echo "$1"`))
	const spec = `"methods": ["GET"], "command": ["sh", "tool.sh", "{field:n}"], "response": "file"`
	warmPath, jobPath := k.trigger(t, warm, spec), k.trigger(t, job, spec)
	paths := []string{warmPath, warmPath, jobPath}
	var over atomic.Bool
	var callers sync.WaitGroup
	counts := make([]int, len(paths))
	for i, path := range paths {
		callers.Go(func() {
			for !over.Load() {
				counts[i]++
				want := fmt.Sprintf("%d-%d", i, counts[i])
				if got, err := k.callAnew(t, path+"?n="+want); err != nil || got != "200 "+want+"\n" {
					t.Errorf("a call while gateways are replaced: %q, %v", got, err)
				}
			}
		})
	}
	before := k.replicas(t, 2)
	patch := fmt.Sprintf(`{"spec": {"template": {"metadata": {"annotations": {"davit.dev/test": %q}}}}}`, unique("restart"))
	_, err := k.clients.AppsV1().Deployments(davitNamespace).Patch(t.Context(), "davit-gateway", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	testenv.EventuallyWithin(t, 2*kubeWait, "both gateways are replaced, and the old ones gone", func() bool {
		list, err := k.clients.CoreV1().Pods(davitNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=davit-gateway"})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list.Items {
			if p.Name == before[0].Name || p.Name == before[1].Name || !isReady(&p) {
				return false
			}
		}
		return len(list.Items) == 2
	})
	over.Store(true)
	callers.Wait()
	t.Logf("calls: %v", counts)
	for f, made := range map[string]int{warm: counts[0] + counts[1], job: counts[2]} {
		testenv.EventuallyWithin(t, kubeWait, "all calls are recorded", func() bool { return len(list(t, k.Gateway, f)) >= min(made, 50) })
		for _, r := range list(t, k.Gateway, f) {
			if r = await(t, k.Gateway, r.ID); r.State != "succeeded" || r.Attempt != 1 {
				t.Errorf("%+v, reason %q", r, r.reason())
			}
		}
	}
}

// callAnew calls on a new connection, tries again if the connection is refused, and returns status and body.
func (k *kube) callAnew(t *testing.T, path string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+k.Calls+path, http.NoBody)
		if err != nil {
			return "", err
		}
		answer, err := client.Do(request)
		var refused *net.OpError
		if errors.As(err, &refused) && refused.Op == "dial" {
			continue
		}
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		return fmt.Sprintf("%d %s", answer.StatusCode, body), err
	}
}
