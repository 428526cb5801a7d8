package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// addresses has the addresses of an installation.
type addresses struct {
	console, calls string // host:port
	tokenFile      string
}

// steps deploys, from the image to the admin token.
func (d *deployment) steps(ctx context.Context) (*addresses, error) {
	if _, err := d.kubectl.run(ctx, "get", "--raw=/readyz", "--request-timeout=10s"); err != nil {
		return nil, fmt.Errorf("no cluster answers; set KUBECONFIG, or have one with `make cluster-up`: %w", err)
	}
	name, err := d.kubectl.run(ctx, "config", "current-context")
	if err != nil {
		return nil, err
	}
	d.cluster = strings.TrimSpace(string(name))
	image, err := d.carry(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := d.write(image)
	if err != nil {
		return nil, err
	}
	if err := d.apply(ctx, folder); err != nil {
		return nil, err
	}
	if err := d.wait(ctx); err != nil {
		return nil, err
	}
	if err := d.pushBase(ctx); err != nil {
		return nil, err
	}
	where := &addresses{tokenFile: filepath.Join(folder, "token")}
	if err := d.saveToken(ctx, where.tokenFile); err != nil {
		return nil, err
	}
	host, err := d.host(ctx)
	if err != nil {
		return nil, err
	}
	where.console, where.calls = net.JoinHostPort(host, consolePort), net.JoinHostPort(host, callsPort)
	return where, nil
}

// write writes a kustomization of the overlay with the name of the image.
func (d *deployment) write(image string) (folder string, err error) {
	overlay := filepath.Join("manifests", "overlays", d.overlay)
	if _, err := os.Stat(filepath.Join(d.root, overlay, "kustomization.yaml")); err != nil {
		return "", fmt.Errorf("there is no overlay %q: %w", d.overlay, err)
	}
	name, tag, err := split(image)
	if err != nil {
		return "", err
	}
	folder = filepath.Join(d.root, "bin", "deploy")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	text := fmt.Sprintf(`# Written by make deploy.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%q]
images: [{name: davit-gateway, newName: %q, newTag: %q}]
`, filepath.ToSlash(filepath.Join("..", "..", overlay)), name, tag)
	return folder, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600)
}

// apply applies the kustomization. It deletes the Jobs of davit-setup first, because a Job cannot be changed; they can
// run again.
func (d *deployment) apply(ctx context.Context, folder string) error {
	d.logf("apply the overlay %s", d.overlay)
	_, err := d.kubectl.run(ctx, "delete", "jobs", "--namespace="+namespace, "--selector=app.kubernetes.io/name=davit-setup", "--ignore-not-found")
	if err != nil {
		return err
	}
	_, err = d.kubectl.run(ctx, "apply", "--kustomize="+folder)
	return err
}

// saveToken writes the admin token to a file that only its owner can read.
func (d *deployment) saveToken(ctx context.Context, file string) error {
	text, err := d.kubectl.run(ctx, "get", "secret", "davit-admin", "--namespace="+namespace, "--output=jsonpath={.data.token}")
	if err != nil {
		return err
	}
	token, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("read the admin token: %w", err)
	}
	return os.WriteFile(file, append(token, '\n'), 0o600)
}

// The NodePorts.
const (
	consolePort = "32000"
	callsPort   = "32001"
)

// host returns an address of the cluster at which this machine reaches the console.
func (d *deployment) host(ctx context.Context) (string, error) {
	var nodes struct {
		Items []struct {
			Status struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err := d.kubectl.get(ctx, &nodes, "nodes"); err != nil {
		return "", err
	}
	hosts := []string{"127.0.0.1"}
	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == "InternalIP" || a.Type == "ExternalIP" {
				hosts = append(hosts, a.Address)
			}
		}
	}
	for _, host := range hosts {
		if answers(ctx, "http://"+net.JoinHostPort(host, consolePort)+"/healthz") == nil {
			return host, nil
		}
	}
	return "", fmt.Errorf("all is ready, but its NodePorts %s and %s answer at none of %v from here; use "+
		"`kubectl --namespace=%s port-forward service/davit-console 8080` and `… service/davit-calls 8081`", consolePort, callsPort, hosts, namespace)
}

func answers(ctx context.Context, url string) error {
	const soon = 3 * time.Second
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
