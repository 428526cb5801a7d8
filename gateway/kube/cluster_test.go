//go:build cluster

package kube

// The suite on a real cluster, in addition to the fake cluster of TestSuite:
//
//	make cluster-up
//	KUBECONFIG=… go test -tags all,cluster -run TestCluster ./gateway/kube
//
// with the KUBECONFIG that cluster-up prints. On a cluster of your own, push an image with testdata/standin, built
// statically, as /davit/runner, and name it in DAVIT_TEST_IMAGE.

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
)

const standinImage = "davit.test/standin:1"

func TestCluster(t *testing.T) {
	image := os.Getenv("DAVIT_TEST_IMAGE")
	if image == "" {
		image = standinImage
		importStandin(t)
	}
	suite(t, func(t *testing.T) *world {
		clients, err := Connect(os.Getenv("KUBECONFIG"))
		must(t, err)
		w := &world{clients: clients, within: 90 * time.Second, now: time.Now, revision: func(kind string) *faas.Revision {
			return realRevision(kind, image)
		}}
		w.makeNamespace(t)
		return w
	})
}

func realRevision(kind, image string) *faas.Revision {
	r := revision(func(s *faas.FunctionSpec) {
		s.Resources = &faas.Resources{CPU: "50m", Memory: 32 * faas.MiB, Disk: 64 * faas.MiB}
		switch kind {
		case kindHuge:
			s.Resources.CPU = "1000"
		case kindRefused:
			s.Resources.Memory = 16 * 1024 * faas.GiB
		case kindNoSecret:
			s.Secrets = []string{"MISSING"}
		}
	})
	r.Function, r.Image = faas.FunctionName(kind), image
	if kind == kindNoImage {
		r.Image = "davit.test/none:1"
	}
	return r
}

// makeNamespace makes a namespace for a test, with the pod security of functions.
func (w *world) makeNamespace(t *testing.T) {
	t.Helper()
	made, err := w.clients.Core.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "davit-kube-test-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	must(t, err)
	w.namespace = made.Name
	t.Cleanup(func() {
		if err := w.clients.Core.Namespaces().Delete(context.WithoutCancel(t.Context()), made.Name, metav1.DeleteOptions{}); err != nil {
			t.Log(err)
		}
	})
	_, err = w.clients.Core.LimitRanges(made.Name).Create(t.Context(), &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "most"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("8Ti")},
		}}},
	}, metav1.CreateOptions{})
	must(t, err)
}

// importStandin builds the stand-in's image and imports it into the test cluster's node.
func importStandin(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "runner")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/standin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the stand-in: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(program)
	must(t, err)
	layer := archive(t, file{"davit/", nil}, file{"davit/runner", binary})
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	must(t, err)
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{standinImage}, "Layers": []string{"layer.tar"}}})
	must(t, err)
	path := filepath.Join(t.TempDir(), "standin.tar")
	must(t, os.WriteFile(path, archive(t, file{"manifest.json", manifest}, file{"config.json", config}, file{"layer.tar", layer}), 0o600))
	load := exec.CommandContext(t.Context(), "go", "run", "./cmd/davit-cluster", "import", path)
	load.Dir = "../../e2e/cluster"
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import the stand-in: %v\n%s", err, out)
	}
}

// file is a file of an archive, or a folder if its name ends in a slash.
type file struct {
	name string
	data []byte
}

func archive(t *testing.T, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.data)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if f.data == nil {
			h.Typeflag = tar.TypeDir
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write(f.data)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}
