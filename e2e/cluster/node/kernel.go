package node

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
)

// needed returns the kernel settings that a cluster needs.
func needed() map[string]string {
	return map[string]string{
		"net/ipv4/ip_forward":                "1",
		"net/ipv4/conf/all/route_localnet":   "1",
		"net/bridge/bridge-nf-call-iptables": "1",
	}
}

// altered returns the kernel settings that Kubernetes changes by itself.
func altered() []string {
	return []string{"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}
}

func (l Layout) kernelNotes() string { return l.Path("kernel.json") }

// setKernel saves the kernel's settings, unless an interrupted run has saved them, and sets those that are needed.
func setKernel(layout Layout) error {
	// Loads the bridge's filter if it is a module. It fails if the filter is built in.
	_ = exec.Command("modprobe", "br_netfilter").Run() //nolint:noctx // it returns soon
	was, err := readNotes(layout)
	if err != nil {
		return err
	}
	names := altered()
	for name := range needed() {
		names = append(names, name)
	}
	for _, name := range names {
		value, err := os.ReadFile("/proc/sys/" + name)
		if _, noted := was[name]; !noted && err == nil {
			was[name] = strings.TrimSpace(string(value))
		}
	}
	text, err := json.Marshal(was)
	if err != nil {
		return err
	}
	if err := os.WriteFile(layout.kernelNotes(), text, 0o600); err != nil {
		return err
	}
	return writeSettings(needed())
}

func readNotes(layout Layout) (map[string]string, error) {
	was := map[string]string{}
	text, err := os.ReadFile(layout.kernelNotes())
	if errors.Is(err, os.ErrNotExist) {
		return was, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &was)
	}
	return was, err
}

// restoreKernel restores the settings that setKernel saved.
func restoreKernel(layout Layout) error {
	was, err := readNotes(layout)
	if err != nil {
		return err
	}
	return writeSettings(was)
}

func writeSettings(settings map[string]string) error {
	var failed []error
	for name, value := range settings {
		path := "/proc/sys/" + name
		now, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(now)) != value {
			err = os.WriteFile(path, []byte(value), 0o644) //nolint:gosec // the kernel's file
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
