//go:build cluster

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// pair returns the two gateways, each reached directly and not through the Services.
func (k *kube) pair(t *testing.T) (a, b *kube, podA string) {
	t.Helper()
	pods := k.replicas(t, 2)
	one := func(i int) *kube {
		return &kube{Gateway: k.replica(t, pods[i].Name), clients: k.clients, settings: k.settings}
	}
	return one(0), one(1), pods[0].Name
}

// TestKubeBothGateways: a registration at one gateway is served by the other at once, and a parked runner serves calls
// of both.
func TestKubeBothGateways(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	a, b, _ := k.pair(t)
	for n, two := range [][2]*kube{{a, b}, {b, a}} {
		f := two[0].function(t, "told", "", tool("echo told"))
		path := two[0].trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh"], "response": "file"`)
		if got := get(t, two[1].Gateway, path, nil); got.Status != http.StatusOK || string(got.Body) != "told\n" {
			t.Errorf("registered on one, called on the other (%d): %d %s", n, got.Status, got.Body)
		}
		two[0].remove(t, f)
		if got := get(t, two[1].Gateway, path, nil); got.Status != http.StatusNotFound {
			t.Errorf("deleted on one, called on the other (%d): %d", n, got.Status)
		}
	}
	for start, spec := range map[string]string{"standby": `"standby": 1`, "warm": `"mode": "warm", "warm": {"min": 1, "max": 1}`} {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			f := a.function(t, start, spec, tool("echo ready"))
			path := a.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh"], "response": "file"`)
			for n, g := range []*kube{a, b, a, b} {
				g.awaitFree(t, f, start)
				got := get(t, g.Gateway, path, nil)
				if got.Status != http.StatusOK || string(got.Body) != "ready\n" || got.Header.Get("Davit-Start") != start {
					t.Errorf("call %d: %d, start %q, %s", n, got.Status, got.Header.Get("Davit-Start"), got.Body)
				}
			}
		})
	}
}

// awaitFree waits until a runner with a free slot is parked at the gateway.
func (k *kube) awaitFree(t *testing.T, function, start string) {
	t.Helper()
	testenv.EventuallyWithin(t, kubeWait, "a "+start+" runner is parked", func() bool {
		return decode[struct {
			Slots map[string]struct{ Free int }
		}](t, admin(t, k.Gateway, http.MethodGet, "/v1/functions/"+function, "").Body).Slots[start].Free > 0
	})
}

// TestKubeGatewayKilled: while a call of each gateway runs, one gateway's pod is killed. The other gateway's caller
// gets its answer. The killed gateway's call runs once, and the other gateway has its result.
func TestKubeGatewayKilled(t *testing.T) {
	k := onKube(t)
	a, b, podA := k.pair(t)
	f := b.function(t, "killed", "", tool("echo started; sleep 8; echo done > out.txt"))
	path := b.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh"], "results": ["out.txt"]`)
	answers := make(chan *rig.Answer, 1)
	over := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, err := a.Call(ctx, http.MethodGet, path, nil, nil)
		over <- err
	}()
	go func() {
		answer, err := b.Call(ctx, http.MethodGet, path, nil, nil)
		if err != nil {
			t.Errorf("the caller of the other gateway: %v", err)
		}
		answers <- answer
	}()
	started := func(r record) bool {
		return r.State == "running" && strings.HasPrefix(string(admin(t, b.Gateway, http.MethodGet, "/v1/invocations/"+r.ID+"/log", "").Body), "started")
	}
	var both []record
	testenv.EventuallyWithin(t, kubeWait, "both run", func() bool {
		both = list(t, b.Gateway, f)
		return len(both) == 2 && started(both[0]) && started(both[1])
	})
	now := int64(0)
	if err := k.clients.CoreV1().Pods(davitNamespace).Delete(t.Context(), podA, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err == nil {
		t.Error("the killed gateway's caller got an answer")
	}
	if answer := <-answers; answer != nil && (answer.Status != http.StatusOK || unzip(t, answer.Body)["out.txt"] != "done\n") {
		t.Errorf("the caller of the other gateway: %d %.300q", answer.Status, answer.Body)
	}
	for _, r := range both {
		if r = await(t, b.Gateway, r.ID); r.State != "succeeded" || r.Attempt != 1 {
			t.Errorf("after the kill: %+v, reason %q", r, r.reason())
		}
		result := get(t, b.Gateway, "/-/invocations/"+r.ID+"/result", nil)
		if result.Status != http.StatusOK || unzip(t, result.Body)["out.txt"] != "done\n" {
			t.Errorf("the result of %s: %d %.300q", r.ID, result.Status, result.Body)
		}
		if log := get(t, b.Gateway, "/-/invocations/"+r.ID+"/log", nil); string(log.Body) != "started\n" {
			t.Errorf("the log of %s: %q", r.ID, log.Body)
		}
	}
	for _, p := range k.replicas(t, 2) { // the new gateway serves too
		if got := get(t, k.replica(t, p.Name), path, http.Header{"Prefer": {"respond-async"}}); got.Status != http.StatusAccepted {
			t.Errorf("%s answers %d %s", p.Name, got.Status, got.Body)
		}
	}
	for _, r := range list(t, b.Gateway, f) {
		if r = await(t, b.Gateway, r.ID); r.State != "succeeded" {
			t.Errorf("afterwards: %+v, reason %q", r, r.reason())
		}
	}
}

// TestKubeRegistryAway: without the registry, images that the node has run, other images fail with image_pull, and
// nothing can be registered. With the registry back, calls and registrations succeed.
func TestKubeRegistryAway(t *testing.T) {
	k := onKube(t)
	had := k.function(t, "had", "", tool("echo had"))
	not := k.function(t, "not-had", `"env": {"ANOTHER": "image"}, "setup": "date > /etc/made"`, tool("echo not had"))
	hadPath := k.trigger(t, had, `"methods": ["GET"], "command": ["sh", "tool.sh"], "response": "file"`)
	notPath := k.trigger(t, not, `"methods": ["GET"], "command": ["sh", "tool.sh"], "response": "file"`)
	status(t, get(t, k.Gateway, hadPath, nil), http.StatusOK)
	k.scaleRegistry(t, 0)
	t.Cleanup(func() { k.scaleRegistry(t, 1) })
	if a := get(t, k.Gateway, hadPath, nil); a.Status != http.StatusOK || string(a.Body) != "had\n" {
		t.Errorf("an image that the node has: %d %s", a.Status, a.Body)
	}
	k.fails(t, notPath, failure{http.StatusServiceUnavailable, "image_pull", "", 0})
	name := unique("new")
	var a *rig.Answer
	testenv.Returns(t, time.Minute, "a registration without a registry", func() { a = k.put(t, name, braced(""), tool("true")) })
	if problem := decode[struct{ Kind, Detail string }](t, a.Body); a.Status/100 == 2 || !strings.Contains(problem.Detail, "the registry does not answer") {
		t.Errorf("a registration: %d %s", a.Status, a.Body)
	}
	k.scaleRegistry(t, 1)
	if a := get(t, k.Gateway, notPath, nil); a.Status != http.StatusOK || string(a.Body) != "not had\n" {
		t.Errorf("with the registry back: %d %s", a.Status, a.Body)
	}
	if a := k.put(t, name, braced(""), tool("true")); a.Status/100 != 2 {
		t.Errorf("the registration again: %d %s", a.Status, a.Body)
	}
}

// scaleRegistry scales the registry to n replicas and waits until it has them.
func (k *kube) scaleRegistry(t *testing.T, n int32) {
	t.Helper()
	ctx, cancel := contextOf(kubeWait)
	defer cancel()
	sets := k.clients.AppsV1().StatefulSets(davitNamespace)
	scale, err := sets.GetScale(ctx, "davit-registry", metav1.GetOptions{})
	if err == nil {
		scale.Spec.Replicas = n
		_, err = sets.UpdateScale(ctx, "davit-registry", scale, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatalf("scale the registry to %d: %v", n, err)
	}
	testenv.EventuallyWithin(t, kubeWait, fmt.Sprintf("the registry has %d pods", n), func() bool {
		set, err := sets.Get(ctx, "davit-registry", metav1.GetOptions{})
		if err != nil {
			t.Fatalf("scale the registry to %d: %v", n, err)
		}
		return set.Status.ObservedGeneration >= set.Generation && set.Status.Replicas == n && set.Status.ReadyReplicas == n
	})
}
