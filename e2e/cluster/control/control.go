// Package control has the commands of Kubernetes' programs in the order of their start, writes their keys and
// configuration, and checks when they are ready.
//
// It starts nothing by itself. Start at [Configure] and [Plane.Commands].
package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"embed"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"davit/e2e/cluster/node"
)

//go:embed conf
var configuration embed.FS

// Port is the port of the API server at the node's address.
const Port = "6443"

// NodeName is the name of the only node.
const NodeName = "davit"

// Plane is a control plane and its kubelet and proxy on a node.
type Plane struct {
	layout node.Layout
	// programs is the folder of Kubernetes' programs.
	programs string
}

// New returns a control plane with the programs in the folder.
func New(layout node.Layout, programs string) *Plane {
	return &Plane{layout: layout, programs: programs}
}

// Server returns the API server's URL.
func Server() string { return "https://" + node.Address + ":" + Port }

// Configure writes new keys, certificates, kubeconfigs and configuration files.
func (p *Plane) Configure() error {
	if err := p.writeIdentities(); err != nil {
		return fmt.Errorf("make the cluster's keys: %w", err)
	}
	if err := p.writeConfiguration(); err != nil {
		return fmt.Errorf("configure Kubernetes: %w", err)
	}
	return nil
}

func (p *Plane) writeIdentities() error {
	pki := p.layout.Path("pki")
	cluster, err := newAuthority(pki, "ca", "davit-cluster")
	if err != nil {
		return err
	}
	// Requests in another user's name, which the API server sends to its extensions, need a separate authority.
	front, err := newAuthority(pki, "front-ca", "davit-cluster-front")
	if err != nil {
		return err
	}
	if err := front.issue(subject{file: "front", user: "front-proxy-client"}); err != nil {
		return err
	}
	service := strings.TrimSuffix(node.DNSAddress, "10") + "1"
	for _, who := range append(p.users(), []subject{
		{file: "apiserver", user: "kube-apiserver", hosts: []string{
			node.Address, "127.0.0.1", service, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		}},
		{file: "kubelet-server", user: "system:node:" + NodeName, hosts: []string{node.Address, NodeName}},
		{file: "apiserver-kubelet", user: "kube-apiserver", group: "system:masters"},
	}...) {
		if err := cluster.issue(who); err != nil {
			return err
		}
	}
	return writeKeyPair(filepath.Join(pki, "service-accounts"))
}

// users returns the users that get a kubeconfig.
func (p *Plane) users() []subject {
	return []subject{
		{file: "admin", user: "davit-admin", group: "system:masters"},
		{file: "controller-manager", user: "system:kube-controller-manager"},
		{file: "scheduler", user: "system:kube-scheduler"},
		{file: "proxy", user: "system:kube-proxy"},
		{file: "kubelet", user: "system:node:" + NodeName, group: "system:nodes"},
		{file: "policy", user: "davit:network-policy"},
	}
}

func writeKeyPair(base string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(base+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(base+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600)
}

// KubeconfigOf returns the path of the kubeconfig of one of the cluster's users.
func (p *Plane) KubeconfigOf(user string) string { return p.layout.Path("conf", user+".kubeconfig") }

func (p *Plane) writeConfiguration() error {
	templates, err := template.New("").Option("missingkey=error").
		Funcs(template.FuncMap{"base64": base64.StdEncoding.EncodeToString}).ParseFS(configuration, "conf/*")
	if err != nil {
		return err
	}
	values := map[string]any{
		"State": p.layout.State, "Socket": p.layout.Socket(), "Address": node.Address,
		"DNSAddress": node.DNSAddress, "PodRange": node.PodRange, "Bridge": node.Bridge,
	}
	for _, file := range []string{"kubelet.yaml", "proxy.yaml", "audit.yaml"} {
		if err := p.render(templates, file, values, p.layout.Path("conf", file)); err != nil {
			return err
		}
	}
	for _, user := range p.users() {
		access := map[string]any{"Server": Server()}
		for name, file := range map[string]string{"CA": "ca.crt", "Certificate": user.file + ".crt", "Key": user.file + ".key"} {
			text, err := os.ReadFile(p.layout.Path("pki", file))
			if err != nil {
				return err
			}
			access[name] = text
		}
		if err := p.render(templates, "kubeconfig.yaml", access, p.KubeconfigOf(user.file)); err != nil {
			return err
		}
	}
	return os.Symlink(p.KubeconfigOf("admin"), p.layout.Kubeconfig())
}

func (p *Plane) render(templates *template.Template, name string, values any, path string) error {
	var out strings.Builder
	if err := templates.ExecuteTemplate(&out, name, values); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(out.String()), 0o600)
}
