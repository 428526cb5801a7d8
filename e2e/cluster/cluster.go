// Package cluster starts a real one-node Kubernetes on a Debian machine, built from Go modules and Debian packages, and
// removes all of it again. It needs root.
//
// Programs and images are built once on a machine and cached by version. A running cluster has fixed paths and names
// (see package node), so that the next Up or Down finds and removes a cluster whose Up or Down was interrupted at any
// point. Start at [Up].
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"davit/e2e/cluster/control"
	"davit/e2e/cluster/node"
	"davit/e2e/cluster/process"
	"davit/e2e/cluster/stage"
)

// Options configure a cluster. The zero value is the default.
type Options struct {
	// Kubeconfig is the file with the access to the user's own cluster, which is used instead. Then Up and Down only
	// print that.
	Kubeconfig string
	// Cache is the folder of programs and images; "" means davit in the user's cache folder.
	Cache string
	// Progress gets a line for each stage; nil means none.
	Progress io.Writer
}

// Cluster is a running cluster.
type Cluster struct {
	options Options
	log     *stage.Log
	layout  node.Layout
	table   *process.Table
	tools   programs
	plane   *control.Plane
}

// Up returns a cluster that is ready for pods. It keeps a running cluster that is complete and of the same versions,
// and removes any other first. It is an error if another Up or Down is running.
func Up(ctx context.Context, options Options) (*Cluster, error) {
	c, err := newCluster(options)
	if err != nil {
		return nil, fmt.Errorf("bring the cluster up: %w", err)
	}
	if c.isUsers() {
		c.log.Say("using your own cluster of %s: nothing is started", options.Kubeconfig)
		return c, nil
	}
	began := time.Now()
	if err := c.up(ctx); err != nil {
		return nil, fmt.Errorf("bring the cluster up: %w", err)
	}
	c.log.Say("up after %v", time.Since(began).Round(time.Millisecond))
	return c, nil
}

// Build makes the programs and images that Up needs and the cache does not have. It starts nothing.
func Build(ctx context.Context, options Options) error {
	c, err := newCluster(options)
	if err == nil && !c.isUsers() {
		_, err = c.make(ctx)
	}
	if err != nil {
		return fmt.Errorf("build the cluster's programs: %w", err)
	}
	return nil
}

// Running returns the cluster that runs on this machine, of any version. It is an error if there is none. It starts and
// removes nothing.
func Running(ctx context.Context, options Options) (*Cluster, error) {
	c, err := newCluster(options)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	if c.isUsers() {
		return c, nil
	}
	if !c.table.Alive("kube-apiserver") {
		return nil, errors.New("find the cluster: none runs on this machine: bring one up, as root")
	}
	if err := c.build(ctx); err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	return c, nil
}

// Down removes the cluster of this machine, or the remains of one: processes, mounts, network, rules, files. The cache
// stays. It is no error if there is none.
func Down(ctx context.Context, options Options) error {
	c, err := newCluster(options)
	if err != nil {
		return fmt.Errorf("take the cluster down: %w", err)
	}
	return c.Down(ctx)
}

// Down removes the cluster, as the function Down does.
func (c *Cluster) Down(ctx context.Context) error {
	if c.isUsers() {
		c.log.Say("using your own cluster of %s: nothing is removed", c.options.Kubeconfig)
		return nil
	}
	release, err := c.lock()
	if err != nil {
		return fmt.Errorf("take the cluster down: %w", err)
	}
	defer release()
	if err := c.log.Run("take down", func(func(string)) error { return c.remove(ctx) }); err != nil {
		return fmt.Errorf("take the cluster down: %w", err)
	}
	return nil
}

// Kubeconfig returns the path of the file with an administrator's access.
func (c *Cluster) Kubeconfig() string {
	if c.isUsers() {
		return c.options.Kubeconfig
	}
	return c.layout.Kubeconfig()
}

// Kubectl returns the path of the cluster's kubectl, or of the user's for the user's own cluster.
func (c *Cluster) Kubectl() string {
	if c.isUsers() {
		return "kubectl"
	}
	return filepath.Join(c.tools.kubernetes, "kubectl")
}

// Import loads an archive of images, as `docker save` or [images.Write] write it, into the node, under the names in it.
func (c *Cluster) Import(ctx context.Context, archive io.Reader) error {
	if c.isUsers() {
		return errors.New("import an image: the cluster is your own: push it to a registry that the cluster pulls from")
	}
	if err := c.ctr(ctx, archive, "import", "-"); err != nil {
		return fmt.Errorf("import an image: %w", err)
	}
	return nil
}

// Push pushes an image of the node to a registry without TLS, under the given name.
func (c *Cluster) Push(ctx context.Context, image, name string) error {
	if c.isUsers() {
		return errors.New("push an image: the cluster is your own: push to its registry yourself")
	}
	for _, args := range [][]string{{"tag", "--force", image, name}, {"push", "--plain-http", name}, {"remove", name}} {
		if err := c.ctr(ctx, nil, args...); err != nil {
			return fmt.Errorf("push %s: %w", name, err)
		}
	}
	return nil
}

// ctr runs a command of ctr on the node's images.
func (c *Cluster) ctr(ctx context.Context, input io.Reader, args ...string) error {
	args = append([]string{"--address", c.layout.Socket(), "--namespace", "k8s.io", "images"}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(c.tools.containerd, "ctr"), args...)
	// So that Down finds these processes if this program is killed.
	cmd.Env = append(cmd.Environ(), c.layout.Mark())
	cmd.Stdin = input
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

func newCluster(options Options) (*Cluster, error) {
	if options.Cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		options.Cache = filepath.Join(cache, "davit")
	}
	layout := node.Standard()
	return &Cluster{
		options: options,
		log:     stage.New(options.Progress, "cluster"),
		layout:  layout,
		table:   process.NewTable(layout.Path("processes"), layout.Path("log"), layout.Mark()),
	}, nil
}

// isUsers reports whether the cluster is the user's own.
func (c *Cluster) isUsers() bool { return c.options.Kubeconfig != "" }

func (c *Cluster) lock() (release func(), err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root, for network, mounts and control groups: run it as root")
	}
	return c.layout.Lock()
}
