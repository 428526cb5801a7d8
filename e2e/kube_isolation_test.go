//go:build cluster

package e2e

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// probe tries to connect to each of its arguments, all at the same time, and prints for each whether it could.
const probe = `#!/bin/bash
reach() { if timeout 4 bash -c "exec 3<>/dev/tcp/${1%:*}/${1##*:}" 2>/dev/null; then echo "$1 open"; else echo "$1 closed"; fi; }
for at in "$@"; do reach "$at" & done
wait
`

// probed calls a function that runs probe, and returns the targets that it reached.
func (k *kube) probed(t *testing.T, path string, targets []string) (open []string) {
	t.Helper()
	var parts []rig.Part
	for _, at := range targets {
		parts = append(parts, rig.Part{Name: "at", Data: []byte(at)})
	}
	a := post(t, k.Gateway, path, nil, parts...)
	status(t, a, http.StatusOK)
	return opened(t, string(a.Body), targets)
}

// opened parses the output of probe.
func opened(t *testing.T, output string, targets []string) (open []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) != len(targets) {
		t.Fatalf("for %d targets the probe printed %q", len(targets), lines)
	}
	for _, line := range lines {
		if at, is := strings.CutSuffix(line, " open"); is {
			open = append(open, at)
		}
	}
	return open
}

// TestKubeNetwork: a function's pod reaches the runner listener, the store and DNS, and nothing else in the cluster,
// whatever its egress is.
func TestKubeNetwork(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	closed := k.others(t)
	var free []string
	for _, g := range k.replicas(t, 2) {
		free = append(free, net.JoinHostPort(g.Status.PodIP, "8082"))
		for _, port := range []string{"8080", "8081", "8083"} {
			closed["the gateway "+g.Name+" at "+port] = net.JoinHostPort(g.Status.PodIP, port)
		}
	}
	free = append(free, "davit-runners.davit.svc:8082", "davit-store.davit.svc:9000")
	for _, egress := range []string{"none", "internet"} {
		t.Run(egress, func(t *testing.T) {
			t.Parallel()
			f := k.function(t, "probe-"+egress, `"egress": "`+egress+`"`, map[string]string{"tool.sh": probe})
			path := k.trigger(t, f, `"methods": ["POST"], "command": ["bash", "tool.sh", "{fields}"], "response": "file"`)
			open := k.probed(t, path, append(slices.Collect(maps.Values(closed)), free...))
			for what, at := range closed {
				if slices.Contains(open, at) {
					t.Errorf("the pod reaches %s, at %s", what, at)
				}
			}
			for _, at := range free {
				if !slices.Contains(open, at) {
					t.Errorf("the pod does not reach %s", at)
				}
			}
		})
	}
}

// others returns the addresses that a function must not reach, by name. A server listens on each of them.
func (k *kube) others(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for namespace, names := range map[string][]string{
		"default": {"kubernetes"}, davitNamespace: {"davit-redis", "davit-registry", "davit-console", "davit-calls", "davit-downloads"},
		"davit-builder": {"davit-dockerd"},
	} {
		for _, name := range names {
			maps.Copy(found, k.addresses(t, namespace, name))
		}
	}
	for name, port := range map[string]int{"the registry": 30500, "the console": 32000, "the triggers": 32001} {
		found[name+" by the node"] = net.JoinHostPort(k.nodeAddress(t), strconv.Itoa(port))
	}
	found["another function's pod"] = k.listener(t)
	return found
}

// addresses returns the addresses of a Service and of its endpoints.
func (k *kube) addresses(t *testing.T, namespace, name string) map[string]string {
	t.Helper()
	service, err := k.clients.CoreV1().Services(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	slices, err := k.clients.DiscoveryV1().EndpointSlices(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{"the service " + name: net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port)))}
	behind := 0
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			behind++
			found[fmt.Sprintf("%s behind the service, %d", name, behind)] = net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*s.Ports[0].Port)))
		}
	}
	if behind == 0 {
		t.Fatalf("the service %s has no endpoints", name)
	}
	return found
}

func (k *kube) nodeAddress(t *testing.T) string {
	t.Helper()
	nodes, err := k.clients.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	t.Fatal("the node has no address")
	return ""
}

// listener starts a function's pod that listens until the test ends, and returns its address.
func (k *kube) listener(t *testing.T) string {
	t.Helper()
	f := k.function(t, "listener", fmt.Sprintf(`"image": %q`, k.registry(t).push(t, shellImage(t))), nil)
	path := k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "-c", "while true; do echo heard | nc -l -p 7000; done"]`)
	a := get(t, k.Gateway, path, http.Header{"Prefer": {"respond-async"}})
	status(t, a, http.StatusAccepted)
	id := decode[record](t, a.Body).ID
	t.Cleanup(func() {
		ctx, cancel := contextOf(kubeWait)
		defer cancel()
		if a, err := k.Admin(ctx, http.MethodPost, "/v1/invocations/"+id+"/cancel", "", nil); err != nil || a.Status != http.StatusAccepted {
			t.Errorf("cancel the listener: %+v, %v", a, err)
		}
	})
	var pod corev1.Pod
	testenv.EventuallyWithin(t, kubeWait, "the listener runs", func() bool { // the cluster knows it later than Davit
		pods, err := k.clients.CoreV1().Pods(functionsNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "davit.dev/function=" + f})
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Items) > 0 {
			pod = pods.Items[0]
		}
		return pod.Status.Phase == corev1.PodRunning
	})
	here := k.forwardFrom(t, functionsNamespace, "pod/"+pod.Name, 7000)[0]
	testenv.EventuallyWithin(t, kubeWait, "the listener answers", func() bool {
		c, err := net.Dial("tcp", here)
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		output, _ := io.ReadAll(c)
		return string(output) == "heard\n"
	})
	return net.JoinHostPort(pod.Status.PodIP, "7000")
}

// TestKubeStoreNeedsSignatures: a function's pod reaches the store, which refuses every request without a signature.
func TestKubeStoreNeedsSignatures(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "unsigned", "", map[string]string{"tool.sh": `#!/bin/bash
for what in "GET /" "GET /$1/" "GET /$1/?list-type=2" "GET /$1/functions/$DAVIT_FUNCTION/1/source.tgz" "PUT /$1/forged" "DELETE /$1/functions/$DAVIT_FUNCTION/1/source.tgz"; do
  exec 3<>/dev/tcp/davit-store.davit.svc/9000
  printf '%s HTTP/1.1\r\nHost: davit-store.davit.svc:9000\r\nConnection: close\r\nContent-Length: 0\r\n\r\n' "$what" >&3
  read -r protocol code rest <&3
  echo "$code $what"
done
`})
	path := k.trigger(t, f, `"methods": ["GET"], "command": ["bash", "tool.sh", "{field:bucket}"], "response": "file"`)
	a := get(t, k.Gateway, path+"?bucket="+k.settings["DAVIT_S3_BUCKET"], nil)
	status(t, a, http.StatusOK)
	lines := strings.Split(strings.TrimSpace(string(a.Body)), "\n")
	if len(lines) != 6 {
		t.Errorf("the call printed %q", lines)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "403 ") {
			t.Errorf("without a signature: %s", line)
		}
	}
}

// inside prints what a command can see and do in its pod.
const inside = `#!/bin/bash
yes() { if "$@" 2>/dev/null >&2; then echo yes; else echo no; fi; }
echo "uid $(id -u)"
while read -r _ outside _; do echo "outside $outside"; done < /proc/self/uid_map
grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\t' ' '
echo "token $(yes ls -d /var/run/secrets/kubernetes.io /run/secrets)"
echo "variables $(env | grep -c -E '_SERVICE_(HOST|PORT)|KUBERNETES|TOKEN|AWS|S3')"
echo "environ $(yes cat /proc/1/environ)"
echo "memory $(yes cat /proc/1/mem)"
for dir in / /etc /usr/bin /davit /function /var/tmp; do echo "write $dir $(yes touch $dir/x)"; done
for dir in . /tmp /dev/shm "$HOME" "$TMPDIR"; do echo "own $(yes touch $dir/x)"; done
echo "mount $(yes mount -t tmpfs none /tmp)"
echo "sysctl $(yes sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward')"
echo "device $(yes mknod /tmp/null c 1 3)"
`

// looked calls a function that runs inside, and returns the lines that it prints.
func (k *kube) looked(t *testing.T, spec string) []string {
	t.Helper()
	f := k.function(t, "inside", spec, map[string]string{"tool.sh": inside})
	a := get(t, k.Gateway, k.trigger(t, f, `"methods": ["GET"], "command": ["bash", "tool.sh"], "response": "file"`), nil)
	status(t, a, http.StatusOK)
	return strings.Split(strings.TrimSpace(string(a.Body)), "\n")
}

// TestKubePrivilege: the rights of a command in its pod, as an ordinary user, and as root, which is an ordinary user
// outside the pod.
func TestKubePrivilege(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	common := []string{
		"CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2",
		"token no", "variables 0", "environ no", "memory no", "mount no", "sysctl no", "device no", "own yes",
	}
	for name, c := range map[string]struct {
		spec string
		uid  string
		root bool // can write where root can
	}{
		"nobody":        {"", "65532", false},
		"writable-root": {`"writable_root": true`, "65532", false},
		"number":        {`"run_as": 1234`, "1234", false},
		"root":          {`"run_as": "root"`, "0", false},
		"root-writes":   {`"run_as": "root", "writable_root": true`, "0", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output := k.looked(t, c.spec)
			want := append([]string{"uid " + c.uid}, common...)
			for _, dir := range []string{"/", "/etc", "/usr/bin", "/function"} {
				want = append(want, "write "+dir+" "+map[bool]string{true: "yes", false: "no"}[c.root])
			}
			for _, line := range want {
				if !slices.Contains(output, line) {
					t.Errorf("the output has no line %q: %q", line, output)
				}
			}
			if slices.Contains(output, "own no") {
				t.Errorf("the command cannot write its own folder: %q", output)
			}
			for _, line := range output {
				outside, is := strings.CutPrefix(line, "outside ")
				if n, _ := strconv.Atoi(outside); is && (n >= 1<<16) != (c.uid == "0") {
					t.Errorf("its user 0 is %s outside", outside)
				}
			}
		})
	}
}

// TestKubeImageUser: with run_as "image", a command runs as the image's user, also if that is root.
func TestKubeImageUser(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	r := k.registry(t)
	for user, want := range map[string]string{"4321": "4321\n", "": "0\n"} {
		i := shellImage(t)
		i.config["User"] = user
		f := k.function(t, "user", fmt.Sprintf(`"image": %q, "run_as": "image"`, r.push(t, i)), nil)
		a := get(t, k.Gateway, k.trigger(t, f, `"methods": ["GET"], "command": ["id", "-u"], "response": "file"`), nil)
		status(t, a, http.StatusOK)
		if string(a.Body) != want {
			t.Errorf("an image with the user %q runs as %s", user, a.Body)
		}
	}
}
