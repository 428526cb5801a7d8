//go:build cluster

package e2e

// These tests need Davit on a real Kubernetes, installed by `make deploy`. `make cluster-e2e` runs them. By hand:
//
//	make cluster-up
//	export KUBECONFIG=/var/lib/davit-cluster/kubeconfig
//	export $(make deploy OVERLAY=test)
//	go test -tags all,cluster -parallel 6 -run '^TestKube' ./e2e
//
// A test that disables a part of the cluster does not run at the same time as others, and runs first.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"davit/e2e/rig"
)

const (
	davitNamespace     = "davit"
	functionsNamespace = "davit-functions"

	// small is the resources of the tests' functions. They are small so that several pods fit on one node.
	small = `"resources": {"cpu": "100m", "memory": "64Mi", "disk": "64Mi"}`

	// kubeWait is how long a test waits for the cluster.
	kubeWait = 2 * time.Minute
)

// kube is Davit on a cluster. Its Gateway is reached through the Services.
type kube struct {
	*rig.Gateway

	clients  *kubernetes.Clientset
	settings map[string]string // the gateways'
}

// deployed finds the installation once for all tests.
var deployed = sync.OnceValues(findDeployed)

func onKube(t *testing.T) *kube {
	t.Helper()
	k, err := deployed()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func findDeployed() (*kube, error) {
	k := &kube{Gateway: &rig.Gateway{
		Console: os.Getenv("DAVIT_CONSOLE"), Calls: os.Getenv("DAVIT_CALLS"), TokenFile: os.Getenv("DAVIT_TOKEN_FILE"),
	}}
	kubeconfig := os.Getenv("KUBECONFIG")
	if k.Console == "" || k.Calls == "" || k.TokenFile == "" || kubeconfig == "" {
		return nil, errors.New("needs Davit on a cluster: `make cluster-e2e` does all of it; else make cluster-up, " +
			"export the KUBECONFIG that it prints, export what `make deploy OVERLAY=test` prints")
	}
	token, err := os.ReadFile(k.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the token of the deployed Davit (`make deploy` writes it): %w", err)
	}
	k.Token = strings.TrimSpace(string(token))
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	if k.clients, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	return k, k.readSettings()
}

// readSettings reads the settings of the running gateways.
func (k *kube) readSettings() error {
	ctx, cancel := contextOf(time.Minute)
	defer cancel()
	gateways, err := k.clients.AppsV1().Deployments(davitNamespace).Get(ctx, "davit-gateway", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find the deployed Davit: %w", err)
	}
	k.settings = map[string]string{}
	for _, from := range gateways.Spec.Template.Spec.Containers[0].EnvFrom {
		if from.ConfigMapRef == nil {
			continue
		}
		m, err := k.clients.CoreV1().ConfigMaps(davitNamespace).Get(ctx, from.ConfigMapRef.Name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("read the settings of the deployed Davit: %w", err)
		}
		for name, value := range m.Data {
			k.settings[name] = value
		}
	}
	return nil
}

func contextOf(most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), most) // because clean-up goes on after the test's own context has ended
}

// unique returns a name that no other test or run has.
func unique(beginning string) string {
	b := make([]byte, 4)
	_, _ = rand.Read(b)
	return beginning + "-" + hex.EncodeToString(b)
}

// slowly lets a registration wait for a build on a loaded machine.
const slowly = "?wait=300s"

// put registers a function, with files or without, returns the answer, and deletes the function after the test.
func (k *kube) put(t *testing.T, name, spec string, files map[string]string) *rig.Answer {
	t.Helper()
	t.Cleanup(func() { k.remove(t, name) })
	if files == nil {
		return admin(t, k.Gateway, http.MethodPut, "/v1/functions/"+name+slowly, spec)
	}
	source, err := rig.PackFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	body, contentType, err := rig.Form(rig.Part{Name: "spec", ContentType: "application/json", Data: []byte(spec)},
		rig.Part{Name: "source", Filename: name + ".tgz", Data: source})
	if err != nil {
		t.Fatal(err)
	}
	a, err := k.Admin(t.Context(), http.MethodPut, "/v1/functions/"+name+slowly, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// remove deletes a function with its triggers, if it is there.
func (k *kube) remove(t *testing.T, name string) {
	ctx, cancel := contextOf(time.Minute)
	defer cancel()
	a, err := k.Admin(ctx, http.MethodDelete, "/v1/functions/"+name+"?triggers=true", "", nil)
	if err != nil || a.Status/100 != 2 && a.Status != http.StatusNotFound {
		t.Errorf("delete %s: %+v, %v", name, a, err)
	}
}

// function registers a function from files, or from an image if files is nil, and waits until it is ready. The spec may
// be without braces and resources.
func (k *kube) function(t *testing.T, beginning, spec string, files map[string]string) (name string) {
	t.Helper()
	name = unique(beginning)
	if a := k.put(t, name, braced(spec), files); a.Status != http.StatusCreated {
		t.Fatalf("register %s: status %d: %s", name, a.Status, a.Body)
	}
	return name
}

// braced returns the spec in braces, with small resources unless it has some.
func braced(spec string) string {
	switch {
	case strings.Contains(spec, `"resources"`):
	case spec == "":
		spec = small
	default:
		spec += ", " + small
	}
	return "{" + spec + "}"
}

// trigger registers a trigger with the function's name, at the path of that name, and returns the path.
func (k *kube) trigger(t *testing.T, function, spec string) (path string) {
	t.Helper()
	trigger(t, k.Gateway, function, `{"function": "`+function+`", "path": "/`+function+`", `+spec+`}`)
	return "/" + function
}
