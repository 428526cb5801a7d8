package kube

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/internal/task"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	anInvocation = faas.InvocationID("01912d68-783e-7a0a-9d5c-6d0c5e5f3a11")
	anImage      = "registry.example.com/davit/thumbnail@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// revision returns a revision with all its fields, as it is once it is ready.
func revision(change func(*faas.FunctionSpec)) *faas.Revision {
	fs := faas.FunctionSpec{}
	if change != nil {
		change(&fs)
	}
	return &faas.Revision{Function: "thumbnail", Number: 3, State: faas.RevisionReady, Spec: spec.CompleteFunction(fs, faas.Defaults{}), Image: anImage}
}

// example is one way to start a runner.
type example struct {
	name  string
	rev   *faas.Revision
	start faas.Start
	o     podOptions
}

func examples() []example {
	gateways := []string{"davit-runners.davit.svc:8082"}
	usual := podOptions{gateways: gateways, pullPolicy: corev1.PullIfNotPresent}
	return []example{
		{"job", revision(nil), faas.StartJob, usual},
		{"standby", revision(func(s *faas.FunctionSpec) { s.Standby = &faas.Standby{Min: 2, Max: 2} }), faas.StartStandby, usual},
		{"warm", revision(func(s *faas.FunctionSpec) {
			s.Mode = faas.ModeWarm
			s.Warm = &faas.Warm{Max: 3, Concurrency: 4, MaxCalls: 100, MaxAge: faas.Duration(time.Hour)}
			s.Start = &faas.StartProcess{Command: faas.Command{"server"}, Ready: &faas.Ready{Port: 5000}}
		}), faas.StartWarm, usual},
		{"image-of-its-own-user", revision(func(s *faas.FunctionSpec) { s.Image, s.RunAs = "debian:12", faas.RunAsImage }), faas.StartJob, usual},
		{"writable-root", revision(func(s *faas.FunctionSpec) { s.WritableRoot = true }), faas.StartJob, usual},
		{"root", revision(func(s *faas.FunctionSpec) { s.Image, s.RunAs, s.WritableRoot = "debian:12", faas.RunAsRoot, true }), faas.StartJob, usual},
		{"everything", revision(func(s *faas.FunctionSpec) {
			s.Env = map[string]string{"GREETING": "$(DAVIT_TOKEN) $HOME $$ \"quoted\"\n"}
			s.Secrets = []string{"API_KEY", "Db_Password"}
			s.Resources = &faas.Resources{CPU: "1.5", Memory: 2 * faas.GiB, Disk: 10 * faas.GiB, GPU: 1}
			s.RunAs, s.Egress, s.Timeout = "1000", faas.EgressInternet, faas.Duration(time.Hour)
		}), faas.StartJob, podOptions{gateways: gateways, pullPolicy: corev1.PullAlways, pullSecret: "registry"}},
	}
}

func (e *example) job(t *testing.T) *batchv1.Job {
	t.Helper()
	o := jobOptions{namespace: "davit-functions", ttl: 5 * time.Minute, pods: e.o}
	id, name := anInvocation, callJob(anInvocation)
	if e.start != faas.StartJob {
		id, name = "", keptJob(e.rev.Ref(), e.start, 1)
	}
	job, err := jobOf(name, e.rev, e.start, id, e.rev.Spec.Timeout.Std(), &o)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// TestGolden compares whole Jobs with golden files. Run it with -update after a change, and read the difference.
func TestGolden(t *testing.T) {
	for _, e := range examples() {
		got, err := yaml.Marshal(e.job(t))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", e.name+".yaml")
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what it was:\n%s", file, got)
		}
	}
}

// TestPodSecurity checks that the pod of every example is allowed in a namespace that enforces the restricted pod
// security standard.
func TestPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	for _, e := range examples() {
		pod := e.job(t).Spec.Template
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
		if !result.Allowed {
			t.Errorf("%s: %s", e.name, result.ForbiddenDetail())
		}
	}
	bad := examples()[0].job(t).Spec.Template
	bad.Spec.HostNetwork = true
	if policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &bad.ObjectMeta, &bad.Spec)).Allowed {
		t.Error("the check lets everything pass")
	}
}

// TestPromises checks the properties that every pod must have, without golden files.
func TestPromises(t *testing.T) {
	for _, e := range examples() {
		spec := e.job(t).Spec.Template.Spec
		if len(spec.Containers) != 1 || len(spec.InitContainers)+len(spec.EphemeralContainers) > 0 {
			t.Fatalf("%s: %d containers", e.name, len(spec.Containers))
		}
		c := spec.Containers[0]
		for what, holds := range map[string]bool{
			"no token of the cluster":   spec.AutomountServiceAccountToken != nil && !*spec.AutomountServiceAccountToken,
			"no service links":          spec.EnableServiceLinks != nil && !*spec.EnableServiceLinks,
			"nothing of the host":       !spec.HostNetwork && !spec.HostPID && !spec.HostIPC && len(c.Ports) == 0,
			"no privilege":              c.SecurityContext.Privileged != nil && !*c.SecurityContext.Privileged && !*c.SecurityContext.AllowPrivilegeEscalation,
			"limits are requests":       len(c.Resources.Limits) >= 3 && equalJSON(t, c.Resources.Limits, c.Resources.Requests),
			"read-only root":            *c.SecurityContext.ReadOnlyRootFilesystem == !e.rev.Spec.WritableRoot,
			"a place to write":          (len(c.VolumeMounts) == 3 && len(spec.Volumes) == 3) == *c.SecurityContext.ReadOnlyRootFilesystem,
			"root is nobody outside":    spec.SecurityContext.RunAsNonRoot != nil && *spec.SecurityContext.RunAsNonRoot || spec.HostUsers != nil && !*spec.HostUsers,
			"one try":                   spec.RestartPolicy == corev1.RestartPolicyNever,
			"by digest":                 strings.Contains(c.Image, "@sha256:"),
			"the runner is what starts": len(c.Command) == 1 && c.Command[0] == RunnerPath && len(c.Args) == 0,
		} {
			if !holds {
				t.Errorf("%s: %s does not hold", e.name, what)
			}
		}
		for _, v := range spec.Volumes {
			if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil {
				t.Errorf("%s: volume %s has no size or is none of the pod's own", e.name, v.Name)
			}
		}
	}
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

// TestLaunchOfPod checks that the runner reads the launch that the launcher wrote, also where Kubernetes would replace
// a part of it.
func TestLaunchOfPod(t *testing.T) {
	for _, e := range examples() {
		env := e.job(t).Spec.Template.Spec.Containers[0].Env
		if env[0].Name != task.EnvLaunch || strings.Contains(env[0].Value, "$") {
			t.Fatalf("%s: %s=%s", e.name, env[0].Name, env[0].Value)
		}
		var l task.Launch
		if err := json.Unmarshal([]byte(env[0].Value), &l); err != nil {
			t.Fatal(err)
		}
		if l.Function != "thumbnail" || l.Start != e.start || l.Token != "" || l.Env["GREETING"] != e.rev.Spec.Env["GREETING"] {
			t.Errorf("%s: launch %+v", e.name, l)
		}
		if (l.Invocation != "") != (e.start == faas.StartJob) || (l.Slots > 1) != (e.start == faas.StartWarm) {
			t.Errorf("%s: launch %+v", e.name, l)
		}
		for _, v := range env[1:] {
			if v.Value != "" {
				t.Errorf("%s: the value of %s stands in the pod", e.name, v.Name)
			}
		}
	}
	_, err := launchText(revision(func(s *faas.FunctionSpec) {
		s.Env = map[string]string{"LONG": strings.Repeat("x", maxLaunchBytes)}
	}), faas.StartJob, anInvocation, []string{"gateways:8082"})
	if faas.KindOf(err) != faas.NotAllowed {
		t.Errorf("too large a launch: %v", err)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"API_KEY", "api_key", "_", "__", "A", strings.Repeat("LONG_", 25), strings.Repeat("LONG_", 24) + "LONGX"} {
		got := valueSecret(name)
		if why := faas.TriggerName(got).Check(); why != "" || seen[got] != "" {
			t.Errorf("the Secret of %q is %q, also that of %q: %s", name, got, seen[got], why)
		}
		seen[got] = name
	}
	longest := faas.RevisionRef{Function: faas.FunctionName(strings.Repeat("f", 40)), Number: 99999}
	for _, name := range []string{callJob(anInvocation), keptJob(longest, faas.StartStandby, 1000), tokenSecret(longest)} {
		if why := faas.TriggerName(name).Check(); why != "" {
			t.Errorf("%q: %s", name, why)
		}
	}
}
