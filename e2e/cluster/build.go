package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"davit/e2e/cluster/images"
	"davit/e2e/cluster/tools"
)

// The versions of the compiled programs. MinIO's is the version of the other tests.
const (
	kubernetesVersion = "v1.34.4"
	coreDNSVersion    = "v1.13.1"
	containerdVersion = "v2.4.2"
	runcVersion       = "v1.5.2"
	registryVersion   = "v3.1.2"
	minioVersion      = "v0.0.0-20260212201848-7aac2a2c5b7c"
)

// ownVersion is the version of this module's programs. The cache distinguishes them by their source.
const ownVersion = "v0"

// packages returns the Debian packages of the machine: etcd, network plugins, the programs that Kubernetes calls, and
// the packages that are needed to compile runc and to make images.
func packages() []string {
	return []string{
		"etcd-server", "containernetworking-plugins", "iptables", "nftables", "conntrack", "iproute2", "ethtool", "socat", "mount", "kmod",
		"gcc", "libc6-dev", "pkg-config", "libseccomp-dev", "mmdebstrap", "ca-certificates",
	}
}

// programs are the folders of the compiled programs.
type programs struct {
	kubernetes string
	containerd string
	runc       string
	coredns    string
	registry   string
	minio      string
	pause      string
	policy     string
	plugin     string
}

// build compiles the programs that are not in the cache, one after the other, because each build uses all cores.
func (c *Cluster) build(ctx context.Context) error {
	source, err := sourceFolder(ctx)
	if err != nil {
		return err
	}
	cache := tools.NewCache(filepath.Join(c.options.Cache, "tools"), c.log)
	nested := filepath.Join(source, "programs")
	for _, each := range []struct {
		folder *string
		recipe tools.Recipe
	}{
		{&c.tools.kubernetes, tools.Recipe{
			Name: "kubernetes", Version: kubernetesVersion, Dir: nested, Packages: []string{"./kubernetes"}, LDFlags: kubernetesStamp(),
			Aliases: []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"},
		}},
		{&c.tools.coredns, tools.Recipe{Name: "coredns", Version: coreDNSVersion, Dir: nested, Packages: []string{"./coredns"}}},
		{&c.tools.containerd, tools.Recipe{Name: "containerd", Version: containerdVersion, Packages: []string{
			"github.com/containerd/containerd/v2/cmd/containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"github.com/containerd/containerd/v2/cmd/ctr",
		}}},
		{&c.tools.runc, tools.Recipe{
			Name: "runc", Version: runcVersion, Tags: "seccomp", CGO: true, Packages: []string{"github.com/opencontainers/runc"},
		}},
		{&c.tools.registry, tools.Recipe{
			Name: "registry", Version: registryVersion, Packages: []string{"github.com/distribution/distribution/v3/cmd/registry"},
		}},
		{&c.tools.minio, tools.Recipe{Name: "minio", Version: minioVersion, Packages: []string{"github.com/minio/minio"}}},
		{&c.tools.pause, tools.Recipe{Name: "pause", Version: ownVersion, Dir: source, Packages: []string{"./cmd/pause"}}},
		{&c.tools.plugin, tools.Recipe{Name: "davit-policy-cni", Version: ownVersion, Dir: source, Packages: []string{"./cmd/davit-policy-cni"}}},
		{&c.tools.policy, tools.Recipe{
			Name: "davit-policy", Version: ownVersion, Dir: source, Packages: []string{"./cmd/davit-policy"}, Sources: []string{"./policy"},
		}},
	} {
		if *each.folder, err = cache.Build(ctx, each.recipe); err != nil {
			return err
		}
	}
	return nil
}

// kubernetesStamp returns the linker flags that set the version that Kubernetes reports.
func kubernetesStamp() string {
	var flags []string
	for _, path := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, value := range []string{"gitVersion=" + kubernetesVersion, "gitMajor=1", "gitMinor=34", "gitTreeState=clean"} {
			flags = append(flags, "-X "+path+"."+value)
		}
	}
	return strings.Join(flags, " ")
}

// sourceFolder returns the folder of this module's files.
func sourceFolder(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "davit/e2e/cluster").Output()
	if err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(ended.Stderr)))
		}
		return "", fmt.Errorf("find the source of the module davit/e2e/cluster: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}

// imageSet is the images that are imported into every cluster.
type imageSet struct {
	essential []images.Image
	services  []images.Image
}

// images returns all images. It makes those that are not in the cache.
func (c *Cluster) images(ctx context.Context) (imageSet, error) {
	cache := images.NewCache(filepath.Join(c.options.Cache, "images"), c.log)
	programs := images.Programs{
		Pause: c.tools.pause, CoreDNS: c.tools.coredns, MinIO: c.tools.minio, Registry: c.tools.registry,
	}
	essential, err := cache.Essential(ctx, programs)
	if err != nil {
		return imageSet{}, err
	}
	services, err := cache.Services(ctx, programs)
	return imageSet{essential: essential, services: services}, err
}
