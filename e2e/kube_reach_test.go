//go:build cluster

package e2e

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// kubectl returns the path of the kubectl in PATH, else of the one that `make cluster-up` built.
func kubectl() (string, error) {
	if path, err := exec.LookPath("kubectl"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	built, err := filepath.Glob(filepath.Join(cache, "davit", "tools", "kubernetes@*", "kubectl"))
	if err != nil || len(built) == 0 {
		return "", errors.New("kubectl is not in PATH: install it; `make cluster-up` builds one too")
	}
	return built[len(built)-1], nil
}

// forward forwards ports of a pod or Service to this machine until the test ends, and returns their addresses here.
func (k *kube) forward(t *testing.T, to string, ports ...int) []string {
	t.Helper()
	return k.forwardFrom(t, davitNamespace, to, ports...)
}

func (k *kube) forwardFrom(t *testing.T, namespace, to string, ports ...int) []string {
	t.Helper()
	program, err := kubectl()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"port-forward", "--namespace=" + namespace, to}
	for _, p := range ports {
		args = append(args, ":"+strconv.Itoa(p))
	}
	cmd := exec.Command(program, args...)
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended with its pod
		_ = cmd.Wait()
	})
	var found []string
	lines := bufio.NewScanner(out)
	for len(found) < len(ports) && lines.Scan() { // "Forwarding from 127.0.0.1:41234 -> 8080", and again for IPv6
		if from, is := strings.CutPrefix(lines.Text(), "Forwarding from 127.0.0.1:"); is {
			port, _, _ := strings.Cut(from, " ")
			found = append(found, "127.0.0.1:"+port)
		}
	}
	if len(found) < len(ports) {
		t.Fatalf("kubectl %s: only %v", strings.Join(args, " "), found)
	}
	return found
}

// replicas waits until n gateways are ready, and returns their pods.
func (k *kube) replicas(t *testing.T, n int) (pods []corev1.Pod) {
	t.Helper()
	testenv.EventuallyWithin(t, kubeWait, strconv.Itoa(n)+" gateways are ready", func() bool {
		list, err := k.clients.CoreV1().Pods(davitNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=davit-gateway"})
		if err != nil {
			t.Fatal(err)
		}
		pods = slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil || !isReady(&p) })
		return len(pods) == n
	})
	return pods
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// replica returns one gateway, reached directly and not through the Services.
func (k *kube) replica(t *testing.T, pod string) *rig.Gateway {
	t.Helper()
	at := k.forward(t, "pod/"+pod, 8080, 8081)
	return &rig.Gateway{Console: at[0], Calls: at[1], Token: k.Token}
}

// secret reads a Secret of the installation.
func (k *kube) secret(t *testing.T, name string) map[string][]byte {
	t.Helper()
	s, err := k.clients.CoreV1().Secrets(davitNamespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Data
}

// store returns a client of the object store with the gateway's credentials, and the bucket.
func (k *kube) store(t *testing.T) (c *minio.Client, bucket string) {
	t.Helper()
	keys := k.secret(t, "davit-store")
	c, err := minio.New(k.forward(t, "service/davit-store", 9000)[0], &minio.Options{
		Creds: credentials.NewStaticV4(string(keys["access-key"]), string(keys["secret-key"]), ""), Region: k.settings["DAVIT_S3_REGION"],
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, k.settings["DAVIT_S3_BUCKET"]
}
