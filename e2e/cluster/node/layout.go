// Package node is the machine's part of a cluster: the folders, the bridge that pods are on, the settings of the
// kernel, the container runtime's configuration, and the removal of all that and of what Kubernetes, the runtime and the network
// plugins leave behind.
//
// It starts no process and knows no Kubernetes object. Start at [Layout] for where things are, at [Prepare] for what is made and
// at [Clean] for what is removed.
package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Layout is where a cluster is on the machine. Only one cluster can be on a machine at a time, so it is no setting.
type Layout struct {
	// State holds what lives as long as the cluster, Run its sockets.
	State string
	Run   string
}

// Standard is the layout that is used.
func Standard() Layout {
	return Layout{State: "/var/lib/davit-cluster", Run: "/run/davit-cluster"}
}

// What the cluster has of the network.
const (
	Bridge     = "davit0"
	Address    = "10.244.0.1"
	PodRange   = "10.244.0.0/24"
	Services   = "10.96.0.0/16"
	DNSAddress = "10.96.0.10"
)

// Path is a path below the state folder.
func (l Layout) Path(parts ...string) string {
	return filepath.Join(append([]string{l.State}, parts...)...)
}

// Kubeconfig is the file with the administrator's access.
func (l Layout) Kubeconfig() string { return l.Path("kubeconfig") }

// Socket is where the container runtime listens.
func (l Layout) Socket() string { return filepath.Join(l.Run, "containerd.sock") }

// PolicySocket is where the enforcer of network policies is told of new pods.
func (l Layout) PolicySocket() string { return filepath.Join(l.Run, "policy.sock") }

// Mark is what the environments of all the cluster's processes have and no other's.
func (l Layout) Mark() string { return "DAVIT_CLUSTER_STATE=" + l.State }

// Lock takes the cluster for the caller alone and returns what gives it back. It waits for nobody: where another has it,
// it fails.
func (l Layout) Lock() (release func(), err error) {
	file, err := os.OpenFile(l.Run+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cluster: %w", err)
	}
	if err := lockFile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the cluster: another is bringing it up or down: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

func (l Layout) makeFolders() error {
	private := []string{"pki", "processes", "conf", "conf/certs.d", "conf/cni", "log", "log/pods", "kubelet", "etcd", "volumes"}
	// Pods in user namespaces go through these as somebody else than root.
	passable := []string{"", "containerd", "containerd/root"}
	for _, dir := range passable {
		if err := makeFolder(l.Path(dir), 0o711); err != nil {
			return err
		}
	}
	for _, dir := range []string{l.Run, filepath.Join(l.Run, "containerd")} {
		if err := makeFolder(dir, 0o711); err != nil {
			return err
		}
	}
	for _, dir := range private {
		if err := makeFolder(l.Path(dir), 0o700); err != nil {
			return err
		}
	}
	// The kubelet gives a folder of the node to no group, so whoever a pod runs as must be able to write.
	for _, number := range Volumes() {
		if err := makeFolder(l.Path("volumes", number), 0o777); err != nil {
			return err
		}
	}
	return nil
}

// Volumes are the names of the folders below volumes that claims get.
func Volumes() []string { return []string{"1", "2", "3", "4", "5", "6", "7", "8"} }

func makeFolder(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	// Whatever the umask says.
	return os.Chmod(path, mode)
}
