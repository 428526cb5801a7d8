// Package node prepares a machine for a cluster and cleans it up. It makes the folders, the pods' bridge, the kernel's
// settings and the container runtime's configuration. It removes all of that, and everything that Kubernetes, the
// runtime and the network plugins leave.
//
// It starts no process and knows no Kubernetes object. Start at [Layout], [Prepare] and [Clean].
package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Layout is the paths of a cluster. They are fixed, because a machine can have only one cluster at a time.
type Layout struct {
	// State is the folder of the cluster's files, Run that of its sockets.
	State string
	Run   string
}

// Standard returns the layout of every cluster.
func Standard() Layout {
	return Layout{State: "/var/lib/davit-cluster", Run: "/run/davit-cluster"}
}

// The cluster's bridge and addresses.
const (
	Bridge     = "davit0"
	Address    = "10.244.0.1"
	PodRange   = "10.244.0.0/24"
	Services   = "10.96.0.0/16"
	DNSAddress = "10.96.0.10"
)

// Path returns a path below the state folder.
func (l Layout) Path(parts ...string) string {
	return filepath.Join(append([]string{l.State}, parts...)...)
}

// Kubeconfig returns the path of the file with the administrator's access.
func (l Layout) Kubeconfig() string { return l.Path("kubeconfig") }

// Socket returns the path of the socket at which the container runtime listens.
func (l Layout) Socket() string { return filepath.Join(l.Run, "containerd.sock") }

// PolicySocket returns the path of the socket at which the enforcer of network policies admits new pods.
func (l Layout) PolicySocket() string { return filepath.Join(l.Run, "policy.sock") }

// Mark returns the variable, NAME=value, that only the cluster's processes have in their environment.
func (l Layout) Mark() string { return "DAVIT_CLUSTER_STATE=" + l.State }

// Lock locks the cluster. release unlocks it. It is an error if another process has locked it: Lock does not wait.
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
	// Because pods in user namespaces open these folders as another user than root.
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
	// Every user must be able to write, because the kubelet does not set the group of a folder of the node.
	for _, number := range Volumes() {
		if err := makeFolder(l.Path("volumes", number), 0o777); err != nil {
			return err
		}
	}
	return nil
}

// Volumes returns the names of the folders of the persistent volumes.
func Volumes() []string { return []string{"1", "2", "3", "4", "5", "6", "7", "8"} }

func makeFolder(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	// Because the umask changes the mode at the creation.
	return os.Chmod(path, mode)
}
