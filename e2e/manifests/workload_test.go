package manifests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

const builder = "davit-builder"

// TestPodSecurity: every pod passes its namespace's level of Pod Security, which is restricted except for the Docker
// daemon's.
func TestPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, objects []object) {
		levels := map[string]api.Level{}
		for _, n := range find[*corev1.Namespace](objects) {
			levels[n.Name] = api.Level(n.Labels[api.EnforceLevelLabel])
		}
		for name, level := range levels {
			if want := map[bool]api.Level{true: api.LevelPrivileged, false: api.LevelRestricted}[name == builder]; level != want {
				t.Errorf("namespace %s enforces %q, want %q", name, level, want)
			}
		}
		for _, o := range objects {
			pod := o.template()
			if pod == nil {
				continue
			}
			level, there := levels[o.GetNamespace()]
			if !there {
				t.Errorf("%s: its namespace is not in the manifests", o)
			}
			at := api.LevelVersion{Level: level, Version: api.LatestVersion()}
			if result := policy.AggregateCheckResults(evaluator.EvaluatePod(at, &pod.ObjectMeta, &pod.Spec)); !result.Allowed {
				t.Errorf("%s is refused: %s", o, result.ForbiddenDetail())
			}
			if o.GetNamespace() == builder && o.GetName() != "davit-dockerd" {
				t.Errorf("%s: only the Docker daemon may be privileged", o)
			}
		}
	})
}

// TestPods: the rules for every pod.
func TestPods(t *testing.T) {
	each(t, func(t *testing.T, objects []object) {
		for _, o := range objects {
			if pod := o.template(); pod != nil {
				checkPod(t, o, pod)
			}
		}
	})
}

func checkPod(t *testing.T, o object, pod *corev1.PodTemplateSpec) {
	t.Helper()
	for _, label := range []string{"app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/part-of"} {
		if o.GetLabels()[label] == "" || pod.Labels[label] != o.GetLabels()[label] {
			t.Errorf("%s: the label %s is %q, its pod's %q", o, label, o.GetLabels()[label], pod.Labels[label])
		}
	}
	if links := pod.Spec.EnableServiceLinks; links == nil || *links {
		t.Errorf("%s has service links", o)
	}
	hasToken := pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken
	if want := slices.Contains([]string{"davit-gateway", "davit-setup-secrets"}, o.GetName()); hasToken != want {
		t.Errorf("%s: a token of Kubernetes is mounted: %v", o, hasToken)
	}
	if len(pod.Spec.TopologySpreadConstraints) == 0 && o.kind == "Deployment" {
		t.Errorf("%s: its pods may all be on one node", o)
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		checkContainer(t, fmt.Sprintf("%s, container %s", o, c.Name), &c)
	}
	for _, c := range pod.Spec.Containers {
		if probed := c.StartupProbe != nil && c.LivenessProbe != nil && c.ReadinessProbe != nil; probed == o.isJob() {
			t.Errorf("%s, container %s: probed is %v", o, c.Name, probed)
		}
	}
}

func checkContainer(t *testing.T, what string, c *corev1.Container) {
	t.Helper()
	for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
		if request.IsZero() || limit.Cmp(request) < 0 {
			t.Errorf("%s: %s is requested at %s and limited to %s", what, resource, &request, &limit)
		}
	}
	_, tag, tagged := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":")
	if !tagged || tag == "latest" || tag == "" {
		t.Errorf("%s: the image %q is not pinned to a version", what, c.Image)
	}
	if c.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("%s: an image that the node has must not be pulled", what)
	}
	privileged := c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
	readOnly := c.SecurityContext.ReadOnlyRootFilesystem != nil && *c.SecurityContext.ReadOnlyRootFilesystem
	if readOnly == privileged {
		t.Errorf("%s: its root is read-only: %v", what, readOnly)
	}
	for _, v := range c.Env {
		for _, word := range []string{"KEY", "PASSWORD", "TOKEN", "SECRET", "URL"} {
			if strings.Contains(v.Name, word) && !strings.HasPrefix(v.Value, "/") && v.ValueFrom == nil {
				t.Errorf("%s: the value of %s is in the manifest", what, v.Name)
			}
		}
	}
}
