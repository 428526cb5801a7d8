package control

import (
	"path/filepath"
	"strings"

	"davit/e2e/cluster/node"
	"davit/e2e/cluster/process"
)

const etcdURL = "http://127.0.0.1:12379"

// Etcd returns the command of etcd.
func (p *Plane) Etcd() process.Command {
	return process.Command{Name: "etcd", Path: "/usr/bin/etcd", Args: []string{
		"--data-dir=" + p.layout.Path("etcd"), "--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=http://127.0.0.1:12380", "--initial-advertise-peer-urls=http://127.0.0.1:12380",
		"--initial-cluster=default=http://127.0.0.1:12380", "--log-level=warn",
		// Because the cluster need not survive a crash of the machine.
		"--unsafe-no-fsync",
	}}
}

// APIServer returns the command of the API server. It serves when etcd does; see [Plane.WaitReady].
func (p *Plane) APIServer() process.Command {
	return p.command("kube-apiserver",
		"--etcd-servers="+etcdURL, "--bind-address="+node.Address, "--advertise-address="+node.Address, "--secure-port="+Port,
		"--service-cluster-ip-range="+node.Services, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true", "--anonymous-auth=true",
		"--feature-gates=UserNamespacesPodSecurityStandards=true",
		"--client-ca-file="+p.key("ca.crt"), "--tls-cert-file="+p.key("apiserver.crt"), "--tls-private-key-file="+p.key("apiserver.key"),
		// Because no resolver knows the node's name.
		"--kubelet-preferred-address-types=InternalIP", "--kubelet-certificate-authority="+p.key("ca.crt"),
		"--kubelet-client-certificate="+p.key("apiserver-kubelet.crt"), "--kubelet-client-key="+p.key("apiserver-kubelet.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+p.key("service-accounts.pub"), "--service-account-signing-key-file="+p.key("service-accounts.key"),
		"--requestheader-client-ca-file="+p.key("front-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+p.key("front.crt"), "--proxy-client-key-file="+p.key("front.key"),
		"--audit-policy-file="+p.layout.Path("conf", "audit.yaml"), "--audit-log-path="+p.layout.Path("log", "audit.log"),
		"--cert-dir="+p.layout.Path("pki"),
	)
}

// Workers returns the commands of the programs that need the API server, in the order of their start.
func (p *Plane) Workers() []process.Command {
	return []process.Command{
		p.command("kube-controller-manager",
			"--kubeconfig="+p.KubeconfigOf("controller-manager"), "--bind-address=127.0.0.1", "--leader-elect=false",
			"--use-service-account-credentials=true", "--service-account-private-key-file="+p.key("service-accounts.key"),
			"--root-ca-file="+p.key("ca.crt"), "--cluster-signing-cert-file="+p.key("ca.crt"), "--cluster-signing-key-file="+p.key("ca.key"),
			"--cert-dir="+p.layout.Path("pki"), "--flex-volume-plugin-dir="+p.layout.Path("kubelet", "plugins"),
			"--authentication-kubeconfig="+p.KubeconfigOf("controller-manager"), "--authorization-kubeconfig="+p.KubeconfigOf("controller-manager"),
		),
		p.command("kube-scheduler",
			"--kubeconfig="+p.KubeconfigOf("scheduler"), "--bind-address=127.0.0.1", "--leader-elect=false", "--cert-dir="+p.layout.Path("pki"),
			"--authentication-kubeconfig="+p.KubeconfigOf("scheduler"), "--authorization-kubeconfig="+p.KubeconfigOf("scheduler"),
		),
		p.command("kube-proxy", "--config="+p.layout.Path("conf", "proxy.yaml")),
		p.command("kubelet",
			"--config="+p.layout.Path("conf", "kubelet.yaml"), "--kubeconfig="+p.KubeconfigOf("kubelet"),
			"--hostname-override="+NodeName, "--node-ip="+node.Address, "--root-dir="+p.layout.Path("kubelet"),
			"--cert-dir="+p.layout.Path("kubelet", "pki"),
		),
	}
}

func (p *Plane) key(file string) string { return p.layout.Path("pki", file) }

// command returns the command of one of Kubernetes' programs, with the system's PATH.
func (p *Plane) command(name string, args ...string) process.Command {
	return process.Command{
		Name: name, Path: filepath.Join(p.programs, name), Args: args,
		Env: []string{"PATH=" + strings.Join([]string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}, ":"), "HOME=/root"},
	}
}
