package manifests

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const root = "../../manifests/"

// folders returns all folders that can be applied.
func folders() []string {
	return []string{"base", "overlays/dev", "overlays/test", "overlays/production"}
}

// object is an object of a rendered folder.
type object struct {
	metav1.Object

	typed runtime.Object
	kind  string
}

func (o object) String() string { return o.kind + " " + o.GetNamespace() + "/" + o.GetName() }

// template returns the pod template of a workload, nil for another object.
func (o object) template() *corev1.PodTemplateSpec {
	switch w := o.typed.(type) {
	case *appsv1.Deployment:
		return &w.Spec.Template
	case *appsv1.StatefulSet:
		return &w.Spec.Template
	case *batchv1.Job:
		return &w.Spec.Template
	}
	return nil
}

// isJob reports whether the workload ends.
func (o object) isJob() bool { return o.kind == "Job" }

var renderings sync.Map

func render(t *testing.T, folder string) string {
	t.Helper()
	once, _ := renderings.LoadOrStore(folder, sync.OnceValues(func() (string, error) {
		result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), root+folder)
		if err != nil {
			return "", err
		}
		text, err := result.AsYaml()
		return string(text), err
	}))
	text, err := once.(func() (string, error))()
	if err != nil {
		t.Fatalf("render %s: %v", folder, err)
	}
	return text
}

// load renders a folder and decodes it. An unknown or repeated field is an error.
func load(t *testing.T, folder string) []object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, rbacv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []object
	documents := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(render(t, folder))))
	defer documents.Close()
	buffer := make([]byte, 1<<20)
	for {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		typed, kind, err := decoder.Decode(bytes.Clone(buffer[:n]), nil, nil)
		if err != nil {
			t.Fatalf("decode %s: %v\n%s", folder, err, buffer[:n])
		}
		objects = append(objects, object{Object: typed.(metav1.Object), typed: typed, kind: kind.Kind})
	}
	if len(objects) < 20 {
		t.Fatalf("%s renders to %d objects only", folder, len(objects))
	}
	return objects
}

// each runs a test on every folder.
func each(t *testing.T, test func(t *testing.T, objects []object)) {
	t.Helper()
	for _, folder := range folders() {
		t.Run(folder, func(t *testing.T) { test(t, load(t, folder)) })
	}
}

// find returns the objects of one type.
func find[T runtime.Object](objects []object) []T {
	var found []T
	for _, o := range objects {
		if typed, is := o.typed.(T); is {
			found = append(found, typed)
		}
	}
	return found
}

// imageLine matches a line that names an image: a container's, the base image, or the ConfigMap that has it.
var imageLine = regexp.MustCompile(`^ +(image: |DAVIT_BASE_IMAGE: |(- configMapRef: *)?name: davit-settings-)`)

// TestOverlaysDifferInLittle: the overlay for tests differs from the base only in the names of images, and the
// production overlay has no Redis and store.
func TestOverlaysDifferInLittle(t *testing.T) {
	base, test := strings.Split(render(t, "base"), "\n"), strings.Split(render(t, "overlays/test"), "\n")
	if len(base) != len(test) {
		t.Fatalf("the overlay for tests has %d lines, the base %d", len(test), len(base))
	}
	for i := range base {
		if base[i] != test[i] && !imageLine.MatchString(base[i]) {
			t.Errorf("the overlay for tests has %q where the base has %q", test[i], base[i])
		}
	}
	for _, o := range load(t, "overlays/production") {
		for _, word := range []string{"redis", "minio", "store"} {
			if strings.Contains(o.GetName(), word) && o.GetName() != "external-store" {
				t.Errorf("production has a %s", o)
			}
		}
	}
	for _, w := range find[*appsv1.Deployment](load(t, "overlays/dev")) {
		if w.Name == "davit-gateway" && *w.Spec.Replicas != 1 {
			t.Errorf("dev has %d gateways", *w.Spec.Replicas)
		}
	}
}
