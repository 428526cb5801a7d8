package kube

import (
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/internal/task"
)

const gpuResource = "nvidia.com/gpu"

// graceSeconds is how long a runner has between SIGTERM and SIGKILL: longer than the time that the runner gives running
// commands (park.Terms.Drain).
const graceSeconds = 40

// podOptions are the settings that all pods have in common.
type podOptions struct {
	gateways   []string // host:port each, where runners dial in
	pullPolicy corev1.PullPolicy
	pullSecret string // of the nodes, for function images; "": none
}

// podOf returns the pod of a runner. Only podOf copies settings of a function into a pod, field by field.
func podOf(rev *faas.Revision, start faas.Start, id faas.InvocationID, o *podOptions) (*corev1.PodTemplateSpec, error) {
	env, err := environment(rev, start, id, o)
	if err != nil {
		return nil, err
	}
	resources, err := resourcesOf(rev)
	if err != nil {
		return nil, err
	}
	spec := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  pointer(false),
		EnableServiceLinks:            pointer(false),
		TerminationGracePeriodSeconds: pointer(int64(graceSeconds)),
		SecurityContext:               podSecurity(&rev.Spec),
		Containers: []corev1.Container{{
			Name:                     containerName,
			Image:                    rev.Image,
			ImagePullPolicy:          o.pullPolicy,
			Command:                  []string{RunnerPath},
			Env:                      env,
			Resources:                resources,
			SecurityContext:          containerSecurity(&rev.Spec),
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
	}
	if !rev.Spec.WritableRoot { // with a writable root the image's folders serve, and the kubelet mounts nothing
		spec.Volumes = volumesOf(rev.Spec.Resources)
		spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
			{Name: "work", MountPath: workDir}, {Name: "tmp", MountPath: tempDir}, {Name: "memory", MountPath: memoryDir},
		}
	}
	if inUserNamespace(&rev.Spec) {
		spec.HostUsers = pointer(false)
	}
	if o.pullSecret != "" {
		spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: o.pullSecret}}
	}
	return &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(rev, start, id)}, Spec: spec}, nil
}

// inUserNamespace reports whether the pod needs a user namespace, because its user may be root: the function asks for
// root, or for the image's user, which is not known here. Root in a user namespace has no rights on the node.
func inUserNamespace(spec *faas.FunctionSpec) bool {
	return spec.RunAs == faas.RunAsRoot || spec.RunAs == faas.RunAsImage
}

func podSecurity(spec *faas.FunctionSpec) *corev1.PodSecurityContext {
	s := &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	switch spec.RunAs {
	case faas.RunAsImage:
	case faas.RunAsRoot:
		s.RunAsUser, s.RunAsGroup = pointer(int64(0)), pointer(int64(0))
	default:
		uid, err := strconv.ParseInt(string(spec.RunAs), 10, 64)
		if err != nil || uid <= 0 { // cannot be: Check refuses such a function
			uid, _ = strconv.ParseInt(string(faas.DefaultUID), 10, 64)
		}
		s.RunAsNonRoot, s.RunAsUser, s.RunAsGroup = pointer(true), pointer(uid), pointer(uid)
	}
	return s
}

func containerSecurity(spec *faas.FunctionSpec) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: pointer(false),
		Privileged:               pointer(false),
		ReadOnlyRootFilesystem:   pointer(!spec.WritableRoot),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// resourcesOf returns the resources of a runner's container. Requests and limits are equal, so that the share of a
// runner does not depend on other pods of its node.
func resourcesOf(rev *faas.Revision) (corev1.ResourceRequirements, error) {
	r := rev.Spec.Resources
	if r == nil {
		return corev1.ResourceRequirements{}, errors.New("the revision's resources are not filled in")
	}
	milli, err := spec.ParseCPU(r.CPU)
	if err != nil {
		return corev1.ResourceRequirements{}, fmt.Errorf("read cpu: %w", err)
	}
	list := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewMilliQuantity(milli, resource.DecimalSI),
		corev1.ResourceMemory:           *bytesOf(int64(r.Memory)),
		corev1.ResourceEphemeralStorage: *bytesOf(int64(r.Disk)),
	}
	if r.GPU > 0 {
		list[gpuResource] = *resource.NewQuantity(int64(r.GPU), resource.DecimalSI)
	}
	return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}, nil
}

func bytesOf(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.BinarySI) }

// volumesOf returns the writable volumes of a pod with a read-only root. The volumes on disk share the limit of the
// pod's disk; the volume in memory counts as the container's memory.
func volumesOf(r *faas.Resources) []corev1.Volume {
	empty := func(name string, medium corev1.StorageMedium, size int64) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium, SizeLimit: bytesOf(size)},
		}}
	}
	return []corev1.Volume{
		empty("work", corev1.StorageMediumDefault, int64(r.Disk)),
		empty("tmp", corev1.StorageMediumDefault, int64(r.Disk)),
		empty("memory", corev1.StorageMediumMemory, int64(r.Memory)/2),
	}
}

// environment returns the variables of the runner's container. The token and users' secrets are references, because
// they must not be readable in the pod's description.
func environment(rev *faas.Revision, start faas.Start, id faas.InvocationID, o *podOptions) ([]corev1.EnvVar, error) {
	launch, err := launchText(rev, start, id, o.gateways)
	if err != nil {
		return nil, err
	}
	secret := func(variable, name, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key,
		}}}
	}
	env := []corev1.EnvVar{
		{Name: task.EnvLaunch, Value: launch},
		{Name: task.EnvRunner, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
		secret(task.EnvToken, tokenSecret(rev.Ref()), tokenKey),
	}
	for _, name := range rev.Spec.Secrets {
		env = append(env, secret(name, valueSecret(name), valueKey))
	}
	return env, nil
}
