package cluster

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"davit/e2e/cluster/control"
	"davit/e2e/cluster/debian"
	"davit/e2e/cluster/images"
	"davit/e2e/cluster/node"
	"davit/e2e/cluster/process"
)

//go:embed manifests
var manifests embed.FS

// processes returns the names of all processes that the cluster starts, in that order.
func processes() []string {
	return []string{"containerd", "etcd", "kube-apiserver", "davit-policy", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"}
}

func (c *Cluster) up(ctx context.Context) error {
	release, err := c.lock()
	if err != nil {
		return err
	}
	defer release()
	all, err := c.make(ctx)
	if err != nil {
		return err
	}
	c.plane = control.New(c.layout, c.tools.kubernetes)
	if c.whole(ctx) {
		c.log.Say("is up already")
		return nil
	}
	if err := c.log.Run("remove what another run left", func(func(string)) error { return c.remove(ctx) }); err != nil {
		return err
	}
	if err := c.start(ctx, all); err != nil {
		return err
	}
	return os.WriteFile(c.layout.Path("whole"), []byte(c.spec()), 0o600)
}

// make installs the packages, compiles the programs and makes the images that are missing.
func (c *Cluster) make(ctx context.Context) (imageSet, error) {
	if err := debian.Install(ctx, c.log, packages()...); err != nil {
		return imageSet{}, err
	}
	if err := c.build(ctx); err != nil {
		return imageSet{}, err
	}
	return c.images(ctx)
}

// spec returns a text that differs between clusters of different versions.
func (c *Cluster) spec() string { return fmt.Sprintf("%+v", c.tools) }

// whole reports whether a cluster of these versions was started and all of its processes run.
func (c *Cluster) whole(ctx context.Context) bool {
	spec, err := os.ReadFile(c.layout.Path("whole"))
	if err != nil || string(spec) != c.spec() {
		return false
	}
	dead := func(name string) bool { return !c.table.Alive(name) }
	return !slices.ContainsFunc(processes(), dead) && c.plane.Ready(ctx) == nil
}

func (c *Cluster) start(ctx context.Context, all imageSet) error {
	err := c.log.Run("prepare the machine", func(func(string)) error {
		shim := filepath.Join(c.tools.containerd, "containerd-shim-runc-v2")
		programs := node.Programs{
			Shim: shim, Runc: filepath.Join(c.tools.runc, "runc"), PolicyPlugin: c.tools.plugin, PauseImage: images.Pause,
		}
		if err := node.Prepare(ctx, c.layout, programs); err != nil {
			return err
		}
		return c.plane.Configure()
	})
	if err != nil {
		return err
	}
	if err := c.startRuntime(ctx); err != nil {
		return err
	}
	imported := make(chan error, 1)
	go func() { imported <- c.importImages(ctx, all) }()
	err = c.startPlane(ctx)
	// Wait for both, because both write into the cluster's folders.
	return errors.Join(err, <-imported)
}

// startRuntime starts the container runtime.
func (c *Cluster) startRuntime(ctx context.Context) error {
	return c.log.Run("start containerd", func(func(string)) error {
		err := c.table.Start(process.Command{
			Name: "containerd", Path: filepath.Join(c.tools.containerd, "containerd"),
			Args: []string{"--config", c.layout.Path("conf", "containerd.toml")}, Env: []string{"PATH=" + searchPath},
		})
		if err != nil {
			return err
		}
		return c.answers(ctx, c.layout.Socket(), "containerd")
	})
}

// importImages first imports the images that the node and its DNS need, and then the others, which are large.
func (c *Cluster) importImages(ctx context.Context, all imageSet) error {
	for _, group := range [][]images.Image{all.essential, all.services} {
		err := c.log.Run(fmt.Sprintf("import %d images", len(group)), func(func(string)) error {
			archive, feed := io.Pipe()
			defer archive.Close()
			go func() { feed.CloseWithError(images.Write(feed, group...)) }()
			return c.Import(ctx, archive)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// answers waits until the program of that name listens at the socket.
func (c *Cluster) answers(ctx context.Context, socket, name string) error {
	const atMost, pause = 30 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "unix", socket)
		if err == nil {
			return connection.Close()
		}
		if !c.table.Alive(name) {
			return fmt.Errorf("%s ended, see %s: %w", name, c.table.LogFile(name), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer, see %s: %w", name, c.table.LogFile(name), err)
		case <-ticker.C:
		}
	}
}

// startPlane starts Kubernetes and applies the manifests of every cluster.
func (c *Cluster) startPlane(ctx context.Context) error {
	for _, each := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"start the API server", c.startServer},
		{"start the rest of Kubernetes", c.startWorkers},
		{"wait for the node and its DNS", c.waitNode},
	} {
		if err := c.log.Run(each.name, func(func(string)) error { return each.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startServer(ctx context.Context) error {
	for _, command := range []process.Command{c.plane.Etcd(), c.plane.APIServer()} {
		if err := c.table.Start(command); err != nil {
			return err
		}
	}
	const atMost = 60 * time.Second
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	err := c.plane.WaitReady(ctx, func() bool { return c.table.Alive("kube-apiserver") })
	if err != nil {
		return fmt.Errorf("%w; see %s", err, c.table.LogFile("kube-apiserver"))
	}
	return nil
}

// startWorkers applies the manifests and then starts the workers, because the manifests have the workers' roles.
func (c *Cluster) startWorkers(ctx context.Context) error {
	text, err := c.manifests()
	if err != nil {
		return err
	}
	if err := c.kubectl(ctx, text, "apply", "--filename=-"); err != nil {
		return err
	}
	enforcer := process.Command{
		Name: "davit-policy", Path: filepath.Join(c.tools.policy, "davit-policy"), Env: []string{"PATH=" + searchPath}, Args: []string{
			"-kubeconfig", c.plane.KubeconfigOf("policy"), "-socket", c.layout.PolicySocket(), "-table", node.PolicyTable,
		},
	}
	for _, command := range append([]process.Command{enforcer}, c.plane.Workers()...) {
		if err := c.table.Start(command); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) waitNode(ctx context.Context) error {
	for _, condition := range []string{"create", "condition=Ready"} {
		if err := c.kubectl(ctx, nil, "wait", "--for="+condition, "node/"+control.NodeName, "--timeout=60s"); err != nil {
			return err
		}
	}
	return c.kubectl(ctx, nil, "rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=60s")
}

// manifests returns the manifests of every cluster as one stream of objects.
func (c *Cluster) manifests() ([]byte, error) {
	templates, err := template.New("").Option("missingkey=error").ParseFS(manifests, "manifests/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("read the manifests: %w", err)
	}
	values := map[string]any{
		"CoreDNS": images.CoreDNS, "DNSAddress": node.DNSAddress, "Volumes": c.layout.Path("volumes"), "Numbers": node.Volumes(),
	}
	var out bytes.Buffer
	for _, each := range templates.Templates() {
		if err := each.Execute(&out, values); err != nil {
			return nil, fmt.Errorf("fill the manifest %s in: %w", each.Name(), err)
		}
		out.WriteString("\n---\n")
	}
	return out.Bytes(), nil
}

func (c *Cluster) kubectl(ctx context.Context, input []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, c.Kubectl(), append([]string{"--kubeconfig=" + c.Kubeconfig()}, args...)...)
	cmd.Env = append(cmd.Environ(), c.layout.Mark())
	cmd.Stdin = bytes.NewReader(input)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// remove kills all processes and removes everything that they leave. It kills first the processes that would start pods
// again.
func (c *Cluster) remove(ctx context.Context) error {
	if err := c.table.Sweep(ctx); err != nil {
		return err
	}
	if err := node.KillPods(ctx); err != nil {
		return err
	}
	return node.Clean(ctx, c.layout)
}
