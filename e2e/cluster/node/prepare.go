package node

import (
	"context"
	_ "embed" // the configuration files
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
)

// Programs are the programs that the container runtime starts.
type Programs struct {
	Shim string
	Runc string
	// PolicyPlugin is the folder of the network plugin davit-policy-cni.
	PolicyPlugin string
	// PauseImage is the image of the container that keeps a pod's namespaces.
	PauseImage string
}

//go:embed containerd.toml
var containerdConfig string

//go:embed cni.conflist
var networkConfig string

// Prepare makes the folders, the network and the configuration files. It keeps existing folders and the bridge, and
// writes the configuration files again.
func Prepare(ctx context.Context, layout Layout, programs Programs) error {
	if err := layout.makeFolders(); err != nil {
		return fmt.Errorf("make the cluster's folders: %w", err)
	}
	if err := setKernel(layout); err != nil {
		return fmt.Errorf("set the kernel up: %w", err)
	}
	if err := makeBridge(ctx); err != nil {
		return fmt.Errorf("make the bridge %s: %w", Bridge, err)
	}
	values := map[string]any{
		"Layout": layout, "Programs": programs,
		"Bridge": Bridge, "PodRange": PodRange, "PolicySocket": layout.PolicySocket(),
	}
	if err := render(containerdConfig, layout.Path("conf", "containerd.toml"), values); err != nil {
		return fmt.Errorf("configure containerd: %w", err)
	}
	if err := render(networkConfig, layout.Path("conf", "cni", "10-davit.conflist"), values); err != nil {
		return fmt.Errorf("configure the pods' network: %w", err)
	}
	return nil
}

func render(text, path string, values any) error {
	parsed, err := template.New(filepath.Base(path)).Option("missingkey=error").Parse(text)
	if err != nil {
		return err
	}
	var out strings.Builder
	if err := parsed.Execute(&out, values); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(out.String()), 0o600)
}

func makeBridge(ctx context.Context) error {
	_, err := os.Stat("/sys/class/net/" + Bridge)
	if err == nil {
		return nil
	}
	// In one batch, so that an existing bridge has its address.
	batch := fmt.Sprintf("link add %[1]s type bridge\naddress add %[2]s/24 dev %[1]s\nlink set %[1]s up\n", Bridge, Address)
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch)
	if err := run(cmd); err != nil {
		return err
	}
	// Allow the pods' packets, because another program, such as a Docker daemon, may have denied forwarding.
	cmd = exec.CommandContext(ctx, "iptables-restore", "--noflush")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("*filter\n:DAVIT-FORWARD - [0:0]\n-A DAVIT-FORWARD -i %[1]s -j ACCEPT\n"+
		"-A DAVIT-FORWARD -o %[1]s -j ACCEPT\n-I FORWARD -j DAVIT-FORWARD\nCOMMIT\n", Bridge))
	return run(cmd)
}

// run runs the command and adds its output to the error.
func run(cmd *exec.Cmd) error {
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
