//go:build cluster

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/testenv"
)

// TestKubeNothingIsLeft: after a function is deleted and its calls' retention is over, nothing of them remains in the
// cluster or in the store, except the tombstone that keeps its revision numbers from being used again.
func TestKubeNothingIsLeft(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	var ids []string
	names := map[string]string{"job": "", "standby": `"standby": 2`, "warm": `"mode": "warm", "warm": {"min": 1, "max": 2}`}
	for start, spec := range names {
		f := k.function(t, "left-"+start, spec, tool("echo done"))
		names[start] = f
		path := k.trigger(t, f, `"methods": ["POST"], "command": ["sh", "tool.sh"], "retention": "1s"`)
		for range 2 {
			a := post(t, k.Gateway, path, nil)
			status(t, a, http.StatusOK)
			ids = append(ids, a.Header.Get("Davit-Invocation"))
		}
	}
	if there := k.left(t, names["job"]); len(there) < 4 { // two Jobs, and their pods
		t.Errorf("only these objects of an existing function are found: %q", there)
	}
	for _, f := range names {
		k.remove(t, f)
	}
	for start, f := range names {
		var left []string
		defer func() {
			if t.Failed() {
				t.Logf("of %s: %q", start, left)
			}
		}()
		testenv.EventuallyWithin(t, 2*kubeWait, "nothing is left of "+f, func() bool { left = k.left(t, f); return len(left) == 0 })
	}
	store, bucket := k.store(t)
	objects := func(prefix string) (keys []string) {
		for o := range store.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			keys = append(keys, strings.TrimPrefix(o.Key, prefix))
		}
		return keys
	}
	for _, f := range names {
		if keys := objects("functions/" + f + "/"); !slices.Equal(keys, []string{"deleted.json"}) {
			t.Errorf("of %s the store has %q", f, keys)
		}
	}
	testenv.EventuallyWithin(t, kubeWait, "the records of the calls are removed", func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool {
			return len(objects("invocations/"+id+"/")) > 0 || admin(t, k.Gateway, http.MethodGet, "/v1/invocations/"+id, "").Status != http.StatusNotFound
		})
	})
}

// left lists the Jobs, pods and Secrets of a function.
func (k *kube) left(t *testing.T, function string) (found []string) {
	t.Helper()
	of := metav1.ListOptions{LabelSelector: "davit.dev/function=" + function}
	jobs, err := k.clients.BatchV1().Jobs(functionsNamespace).List(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := k.clients.CoreV1().Pods(functionsNamespace).List(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := k.clients.CoreV1().Secrets(functionsNamespace).List(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range jobs.Items {
		found = append(found, "job "+o.Name+" of "+o.CreationTimestamp.Format(time.TimeOnly))
	}
	for _, o := range pods.Items {
		found = append(found, "pod "+o.Name+" "+string(o.Status.Phase))
	}
	for _, o := range secrets.Items {
		found = append(found, "secret "+o.Name)
	}
	return found
}
