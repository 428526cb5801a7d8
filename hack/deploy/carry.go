package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// testContext is the name of the cluster that `make cluster-up` brings up.
const testContext = "davit"

// carry brings the image of the gateway to the cluster, and returns its name there.
func (d *deployment) carry(ctx context.Context) (string, error) {
	dist := filepath.Join(d.root, "dist")
	archive := filepath.Join(dist, "davit-gateway.tar")
	image, err := pack(filepath.Join(d.root, "Dockerfile.gateway"), filepath.Join(dist, "gateway", "root"), "davit-gateway", archive)
	if err != nil {
		return "", err
	}
	if d.registry != "" {
		return d.push(ctx, image, archive)
	}
	d.logf("bring %s to the cluster %s", image, d.cluster)
	kind, isKind := strings.CutPrefix(d.cluster, "kind-")
	k3d, isK3d := strings.CutPrefix(d.cluster, "k3d-")
	switch {
	case d.cluster == testContext:
		err = d.onTestCluster(ctx, "import", archive)
	case isKind:
		_, err = execute(ctx, "kind", "load", "image-archive", archive, "--name", kind)
	case isK3d:
		_, err = execute(ctx, "k3d", "image", "import", archive, "--cluster", k3d)
	case d.cluster == "minikube":
		_, err = execute(ctx, "minikube", "image", "load", archive)
	default:
		err = fmt.Errorf("the cluster %s cannot be given an image directly: name a registry that it pulls from and you can push to, make deploy REGISTRY=host/path", d.cluster)
	}
	return image, err
}

// push pushes the image with Docker, because that has the logins.
func (d *deployment) push(ctx context.Context, image, archive string) (string, error) {
	name := strings.TrimSuffix(d.registry, "/") + "/" + image
	d.logf("push %s", name)
	for _, args := range [][]string{{"load", "--quiet", "--input", archive}, {"tag", image, name}, {"push", "--quiet", name}} {
		if _, err := execute(ctx, "docker", args...); err != nil {
			return "", err
		}
	}
	return name, nil
}

// pushBase pushes the base image of functions to the registry in the test cluster, which cannot pull from another.
func (d *deployment) pushBase(ctx context.Context) error {
	if d.cluster != testContext {
		return nil
	}
	d.logf("push the base image of functions")
	return d.onTestCluster(ctx, "push", "davit.local/base:bookworm", "localhost:30500/base:bookworm")
}

// onTestCluster runs a command of the test cluster's own program.
func (d *deployment) onTestCluster(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "./cmd/davit-cluster"}, args...)...)
	cmd.Dir = filepath.Join(d.root, "e2e", "cluster")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("davit-cluster %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// split separates the name of an image from its tag.
func split(image string) (name, tag string, err error) {
	at := strings.LastIndex(image, ":")
	if at < 0 || strings.Contains(image[at:], "/") {
		return "", "", errors.New("the image " + image + " has no tag")
	}
	return image[:at], image[at+1:], nil
}
