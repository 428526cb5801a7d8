package manifests

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// end is one end of a connection: a pod, or an address outside of the cluster's pods.
type end struct {
	namespace string
	labels    map[string]string
	address   string
}

// network is the network policies of a folder.
type network struct {
	t          *testing.T
	policies   []*networkingv1.NetworkPolicy
	namespaces map[string]map[string]string // their labels
}

func newNetwork(t *testing.T, objects []object) *network {
	t.Helper()
	n := &network{t: t, policies: find[*networkingv1.NetworkPolicy](objects), namespaces: map[string]map[string]string{
		"kube-system": {"kubernetes.io/metadata.name": "kube-system"}, "other": {"kubernetes.io/metadata.name": "other"},
	}}
	for _, ns := range find[*corev1.Namespace](objects) {
		all := map[string]string{"kubernetes.io/metadata.name": ns.Name}
		for k, v := range ns.Labels {
			all[k] = v
		}
		n.namespaces[ns.Name] = all
	}
	return n
}

// allows reports whether the policies of both ends allow a connection.
func (n *network) allows(from, to end, port int32, protocol corev1.Protocol) bool {
	return n.one(from, to, networkingv1.PolicyTypeEgress, port, protocol) && n.one(to, from, networkingv1.PolicyTypeIngress, port, protocol)
}

// one reports whether the policies that select one end allow the other end; true if none selects it.
func (n *network) one(self, other end, direction networkingv1.PolicyType, port int32, protocol corev1.Protocol) bool {
	selected, allowed := false, false
	for _, p := range n.policies {
		if self.labels == nil || p.Namespace != self.namespace || !n.matches(&p.Spec.PodSelector, self.labels) || !has(p.Spec.PolicyTypes, direction) {
			continue
		}
		selected = true
		if direction == networkingv1.PolicyTypeEgress {
			for _, rule := range p.Spec.Egress {
				allowed = allowed || n.peers(p.Namespace, rule.To, other) && n.ports(rule.Ports, port, protocol)
			}
			continue
		}
		for _, rule := range p.Spec.Ingress {
			allowed = allowed || n.peers(p.Namespace, rule.From, other) && n.ports(rule.Ports, port, protocol)
		}
	}
	return !selected || allowed
}

func has(types []networkingv1.PolicyType, one networkingv1.PolicyType) bool {
	for _, each := range types {
		if each == one {
			return true
		}
	}
	return false
}

func (n *network) peers(namespace string, peers []networkingv1.NetworkPolicyPeer, other end) bool {
	for _, peer := range peers {
		switch {
		case peer.IPBlock != nil:
			if n.within(peer.IPBlock, other.address) {
				return true
			}
		case other.labels == nil:
		case peer.NamespaceSelector == nil:
			if other.namespace == namespace && n.matches(peer.PodSelector, other.labels) {
				return true
			}
		case n.matches(peer.NamespaceSelector, n.namespaces[other.namespace]) && (peer.PodSelector == nil || n.matches(peer.PodSelector, other.labels)):
			return true
		}
	}
	return len(peers) == 0
}

func (n *network) within(block *networkingv1.IPBlock, address string) bool {
	n.t.Helper()
	if address == "" {
		return false
	}
	at := netip.MustParseAddr(address)
	for _, except := range block.Except {
		if !netip.MustParsePrefix(block.CIDR).Contains(netip.MustParsePrefix(except).Addr()) {
			n.t.Errorf("the exception %s is not within %s", except, block.CIDR)
		}
		if netip.MustParsePrefix(except).Contains(at) {
			return false
		}
	}
	return netip.MustParsePrefix(block.CIDR).Contains(at)
}

// ports must be numbers, because enforcers differ in what a name means.
func (n *network) ports(ports []networkingv1.NetworkPolicyPort, port int32, protocol corev1.Protocol) bool {
	for _, p := range ports {
		if p.Port.IntVal == 0 {
			n.t.Errorf("port %s of a network policy is not a number", p.Port)
		}
		if p.Port.IntVal == port && (p.Protocol == nil && protocol == corev1.ProtocolTCP || p.Protocol != nil && *p.Protocol == protocol) {
			return true
		}
	}
	return len(ports) == 0
}

func (n *network) matches(selector *metav1.LabelSelector, set map[string]string) bool {
	n.t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		n.t.Fatal(err)
	}
	return s.Matches(labels.Set(set))
}

// TestReach: which pods and addresses reach which, and which do not.
func TestReach(t *testing.T) {
	pod := func(namespace, name, component string) end {
		return end{namespace: namespace, address: "10.244.0.9", labels: map[string]string{
			"app.kubernetes.io/name": name, "app.kubernetes.io/component": component, "app.kubernetes.io/part-of": "davit",
		}}
	}
	function := pod("davit-functions", "davit-runner", "runner")
	online := pod("davit-functions", "davit-runner", "runner")
	function.labels["davit.dev/egress"], online.labels["davit.dev/egress"] = "none", "internet"
	ends := map[string]end{
		"function": function, "online": online, "gateway": pod("davit", "davit-gateway", "gateway"),
		"redis": pod("davit", "redis", "redis"), "store": pod("davit", "minio", "store"), "registry": pod("davit", "registry", "registry"),
		"dockerd": pod("davit-builder", "dockerd", "builder"), "secrets": pod("davit", "davit-setup", "setup"),
		"setup-store": pod("davit", "davit-setup", "setup-store"), "stranger": pod("other", "any", "any"),
		"dns":  {namespace: "kube-system", address: "10.244.0.2", labels: map[string]string{"k8s-app": "kube-dns"}},
		"api":  {address: "10.244.0.1"},
		"node": {address: "192.168.1.7"}, "metadata": {address: "169.254.169.254"}, "metadata6": {address: "fd00:ec2::254"},
		"private": {address: "172.20.1.1"}, "carrier": {address: "100.64.0.1"}, "web": {address: "198.51.100.7"}, "web6": {address: "2a00:1450::1"},
	}
	tests := []struct {
		from, to string
		port     int32
		yes      bool
	}{
		{"function", "gateway", 8082, true},
		{"function", "store", 9000, true},
		{"function", "gateway", 8080, false},
		{"function", "gateway", 8081, false},
		{"function", "gateway", 8083, false},
		{"function", "redis", 6379, false},
		{"function", "registry", 5000, false},
		{"function", "dockerd", 2376, false},
		{"function", "api", 6443, false},
		{"function", "api", 443, false},
		{"function", "node", 30500, false},
		{"function", "node", 10250, false},
		{"function", "online", 8080, false},
		{"function", "web", 443, false},
		{"function", "web6", 443, false},
		{"function", "metadata", 80, false},
		{"function", "stranger", 80, false},
		{"function", "dns", 53, true},
		{"function", "dns", 9153, false},
		{"online", "web", 443, true},
		{"online", "web", 25, true},
		{"online", "web6", 443, true},
		{"online", "gateway", 8082, true},
		{"online", "metadata", 80, false},
		{"online", "metadata6", 80, false},
		{"online", "private", 443, false},
		{"online", "carrier", 443, false},
		{"online", "api", 6443, false},
		{"online", "redis", 6379, false},
		{"online", "dockerd", 2376, false},
		{"online", "registry", 5000, false},
		{"online", "function", 80, false},
		{"online", "node", 32000, false},
		{"gateway", "function", 8080, false},
		{"stranger", "function", 8080, false},
		{"node", "function", 8080, false},
		{"gateway", "redis", 6379, true},
		{"gateway", "store", 9000, true},
		{"gateway", "registry", 5000, true},
		{"gateway", "dockerd", 2376, true},
		{"gateway", "api", 6443, true},
		{"gateway", "dns", 53, true},
		{"stranger", "redis", 6379, false},
		{"stranger", "store", 9000, false},
		{"stranger", "dockerd", 2376, false},
		{"stranger", "gateway", 8082, false},
		{"stranger", "gateway", 8081, true},
		{"web", "gateway", 8080, true},
		{"web", "gateway", 8082, false},
		{"node", "gateway", 8083, true},
		{"dockerd", "registry", 5000, true},
		{"dockerd", "dns", 53, true},
		{"dockerd", "web", 443, true},
		{"dockerd", "redis", 6379, false},
		{"dockerd", "store", 9000, false},
		{"dockerd", "api", 6443, false},
		{"dockerd", "metadata", 80, false},
		{"dockerd", "gateway", 8080, false},
		{"node", "registry", 5000, true},
		{"node", "redis", 6379, false},
		{"node", "dockerd", 2376, false},
		{"redis", "web", 443, false},
		{"store", "web", 443, false},
		{"registry", "web", 443, false},
		{"redis", "store", 9000, false},
		{"secrets", "api", 6443, true},
		{"secrets", "redis", 6379, false},
		{"secrets", "store", 9000, false},
		{"setup-store", "store", 9000, true},
		{"setup-store", "api", 6443, false},
		{"setup-store", "redis", 6379, false},
		{"setup-store", "dns", 53, true},
	}
	n := newNetwork(t, load(t, "overlays/test"))
	for _, test := range tests {
		protocol := corev1.ProtocolTCP
		if test.to == "dns" && test.port == 53 {
			protocol = corev1.ProtocolUDP
		}
		if got := n.allows(ends[test.from], ends[test.to], test.port, protocol); got != test.yes {
			t.Errorf("%s → %s:%d is allowed: %v", test.from, test.to, test.port, got)
		}
	}
}

// TestNobodyIsLeftOut: in each namespace, a pod without a policy of its own can neither be reached nor reach anything.
func TestNobodyIsLeftOut(t *testing.T) {
	each(t, func(t *testing.T, objects []object) {
		n := newNetwork(t, objects)
		outside := end{address: "198.51.100.7"}
		for _, namespace := range []string{"davit", "davit-functions", builder} {
			unknown := end{namespace: namespace, address: "10.244.0.9", labels: map[string]string{"app": "unknown"}}
			if n.allows(outside, unknown, 80, corev1.ProtocolTCP) {
				t.Errorf("pods of %s can be reached", namespace)
			}
			if namespace == "davit" && n.allows(unknown, outside, 80, corev1.ProtocolTCP) {
				t.Errorf("pods of %s reach others", namespace)
			}
		}
	})
}
