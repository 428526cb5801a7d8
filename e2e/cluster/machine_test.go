package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine lists everything that a cluster could leave on a machine, one line each.
type machine []string

// machineNow returns the list now. It does not contain processes of other programs and files in the temporary folder.
func machineNow(t *testing.T) machine {
	t.Helper()
	var all machine
	add := func(kind string, lines []string) {
		for _, line := range lines {
			all = append(all, kind+" "+line)
		}
	}
	add("process", clusterProcesses(t))
	add("mount", mounts(t))
	add("link", globbed(t, "/sys/class/net/*"))
	add("namespace", globbed(t, "/run/netns/*"))
	add("control group", globbed(t, "/sys/fs/cgroup/*/kubepods", "/sys/fs/cgroup/kubepods"))
	add("path", globbed(t, "/var/lib/davit-cluster", "/run/davit-cluster", "/var/lib/cni/*", "/var/lib/kubelet/*", "/var/log/pods", "/var/log/containers/*",
		"/usr/libexec/kubernetes", "/etc/kubernetes", "/etc/cni/*", "/var/run/kubernetes", "/opt/cni"))
	for _, name := range []string{
		"net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/bridge/bridge-nf-call-iptables",
		"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops",
	} {
		value, err := os.ReadFile("/proc/sys/" + name)
		add("setting", []string{name + " " + strings.TrimSpace(string(value)), errorText(err)})
	}
	rules, err := exec.CommandContext(t.Context(), "nft", "--stateless", "list", "ruleset").Output()
	add("rule", append(strings.Split(strings.TrimSpace(string(rules)), "\n"), errorText(err)))
	return all
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return "read"
}

// clusterProcesses lists the processes that run one of the cluster's programs or have its mark, except programs that
// other tests run too.
func clusterProcesses(t *testing.T) []string {
	t.Helper()
	const mark = "DAVIT_CLUSTER_STATE="
	var found []string
	for _, dir := range globbed(t, "/proc/[0-9]*") {
		program, _ := os.Readlink(filepath.Join(dir, "exe"))
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		ours := strings.Contains(program, "/davit/tools/kubernetes@") || strings.Contains(program, "/davit/tools/davit-policy")
		if ours || strings.Contains(string(environ), mark) || strings.Contains(string(arguments), "/davit-cluster/") {
			found = append(found, dir+" "+program)
		}
	}
	return found
}

func mounts(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); !strings.HasPrefix(fields[1], os.TempDir()) {
			found = append(found, strings.Join(fields[:3], " "))
		}
	}
	return found
}

func globbed(t *testing.T, patterns ...string) []string {
	t.Helper()
	var found []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

// differs lists the lines that only one of the two has.
func (m machine) differs(before machine) string {
	var lines []string
	for _, line := range m {
		if !slices.Contains(before, line) {
			lines = append(lines, "+ "+line)
		}
	}
	for _, line := range before {
		if !slices.Contains(m, line) {
			lines = append(lines, "- "+line)
		}
	}
	return strings.Join(lines, "\n")
}
