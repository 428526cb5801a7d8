// Package cluster brings up a real one-node Kubernetes on a Debian machine, from Go modules and Debian packages,
// and takes all of it down again. It needs root.
//
// Programs and images are made once a machine and kept in a cache by version. Where the things of a running cluster are is fixed
// (see package node), so that one that was cut off in the middle, in whatever way, is found and removed by the next Up or Down.
// Start at [Up].
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

// Options are how a cluster is brought up. The zero value is the usual way.
type Options struct {
	// Kubeconfig names the access to a cluster of the user's own, to be used instead: then Up and Down only say so.
	Kubeconfig string
	// Cache is where programs and images are kept; with none, davit in the user's cache folder.
	Cache string
	// Progress is told of each stage; with none, nobody is.
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

// Up returns a cluster that is ready for pods. One that runs already is left as it is if it is whole and of the same
// versions, and removed first if it is not. Two at the same time are refused.
func Up(ctx context.Context, options Options) (*Cluster, error) {
	c, err := newCluster(options)
	if err != nil {
		return nil, fmt.Errorf("bring the cluster up: %w", err)
	}
	if c.foreign() {
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

// Build makes what Up needs and the cache does not have: programs and images. It starts nothing.
func Build(ctx context.Context, options Options) error {
	c, err := newCluster(options)
	if err == nil && !c.foreign() {
		_, err = c.make(ctx)
	}
	if err != nil {
		return fmt.Errorf("build the cluster's programs: %w", err)
	}
	return nil
}

// Running returns the cluster that runs on this machine, of whatever versions, and fails where there is none. It starts and removes
// nothing.
func Running(ctx context.Context, options Options) (*Cluster, error) {
	c, err := newCluster(options)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	if c.foreign() {
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

// Down removes the cluster of this machine, whether it runs, or what is left of it: processes, mounts, network, rules, files. The
// cache stays. None being there is no error.
func Down(ctx context.Context, options Options) error {
	c, err := newCluster(options)
	if err != nil {
		return fmt.Errorf("take the cluster down: %w", err)
	}
	return c.Down(ctx)
}

// Down removes the cluster, as the function of that name does.
func (c *Cluster) Down(ctx context.Context) error {
	if c.foreign() {
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

// Kubeconfig is the file with an administrator's access.
func (c *Cluster) Kubeconfig() string {
	if c.foreign() {
		return c.options.Kubeconfig
	}
	return c.layout.Kubeconfig()
}

// Kubectl is the program of that name that belongs to the cluster, on a cluster of the user's own the user's.
func (c *Cluster) Kubectl() string {
	if c.foreign() {
		return "kubectl"
	}
	return filepath.Join(c.tools.kubernetes, "kubectl")
}

// Import gives the node an image archive, as `docker save` or [images.Write] write it, under the names that are in it.
func (c *Cluster) Import(ctx context.Context, archive io.Reader) error {
	if c.foreign() {
		return errors.New("import an image: the cluster is your own: push it to a registry that the cluster pulls from")
	}
	if err := c.ctr(ctx, archive, "import", "-"); err != nil {
		return fmt.Errorf("import an image: %w", err)
	}
	return nil
}

// Push writes an image that the node has to a registry without TLS, under the name that it is to have there.
func (c *Cluster) Push(ctx context.Context, image, name string) error {
	if c.foreign() {
		return errors.New("push an image: the cluster is your own: push to its registry yourself")
	}
	for _, args := range [][]string{{"tag", "--force", image, name}, {"push", "--plain-http", name}, {"remove", name}} {
		if err := c.ctr(ctx, nil, args...); err != nil {
			return fmt.Errorf("push %s: %w", name, err)
		}
	}
	return nil
}

// ctr does something with the images of the node.
func (c *Cluster) ctr(ctx context.Context, input io.Reader, args ...string) error {
	args = append([]string{"--address", c.layout.Socket(), "--namespace", "k8s.io", "images"}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(c.tools.containerd, "ctr"), args...)
	// Where this program is killed, they are found and ended.
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

// foreign tells that the cluster is of the user's own.
func (c *Cluster) foreign() bool { return c.options.Kubeconfig != "" }

func (c *Cluster) lock() (release func(), err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root, for network, mounts and control groups: run it as root")
	}
	return c.layout.Lock()
}
