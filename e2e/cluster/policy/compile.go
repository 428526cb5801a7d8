// Package policy enforces Kubernetes' network policies on one node with the kernel's packet filter, for IPv4.
//
// [Compile] computes the isolated pods from the objects. [Write] turns them into rules. [Enforcer] updates the rules
// when objects change, and before the first process of a new pod runs. As Kubernetes demands, policies do not apply to
// pods in the host's network, and the node itself reaches every pod.
package policy

import (
	"net/netip"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// World is the input of Compile. A pod's address is the one in its status, unless Addresses has another for the pod's
// Key.
type World struct {
	Policies   []*networking.NetworkPolicy
	Pods       []*core.Pod
	Namespaces []*core.Namespace
	Addresses  map[string]netip.Addr
}

// Key returns the key of a pod in World.Addresses.
func Key(namespace, name string) string { return namespace + "/" + name }

// Isolated is a pod that policies select. For each direction, nil allows all traffic; else only the traffic of the
// entries is allowed.
type Isolated struct {
	Address netip.Addr
	Ingress *[]Allowed
	Egress  *[]Allowed
}

// Allowed is allowed traffic: with any of the peers, and to any of the receiver's ports. No peers mean all peers, no
// ports mean all ports.
type Allowed struct {
	Peers []Peer
	Ports []Port
}

// Peer is a range of addresses with exceptions. A pod is a range of one address.
type Peer struct {
	Range  netip.Prefix
	Except []netip.Prefix
}

// Port is a range of ports of a protocol ("tcp", "udp", "sctp"); First 0 means all of them.
type Port struct {
	Protocol    string
	First, Last int32
}

// Compile returns the isolated pods, in the order of their addresses.
func Compile(world World) []Isolated {
	s := newScene(world)
	var all []Isolated
	for _, pod := range s.pods {
		one := Isolated{Address: pod.address}
		for _, each := range world.Policies {
			if each.Namespace == pod.Namespace && matches(&each.Spec.PodSelector, pod.Labels) {
				s.isolate(&one, pod, each)
			}
		}
		if one.Ingress != nil || one.Egress != nil {
			all = append(all, one)
		}
	}
	return all
}

// isolate adds the rules of one policy to a pod that it selects.
func (s scene) isolate(one *Isolated, pod located, policy *networking.NetworkPolicy) {
	ingress, egress := directions(policy)
	if ingress {
		one.Ingress = extended(one.Ingress, s.ingress(policy, pod))
	}
	if egress {
		one.Egress = extended(one.Egress, s.egress(policy))
	}
}

func extended(before *[]Allowed, more []Allowed) *[]Allowed {
	if before == nil {
		before = &[]Allowed{}
	}
	all := append(*before, more...)
	return &all
}

// scene is a world in which each pod has one address. The pods are sorted by it.
type scene struct {
	pods       []located
	namespaces map[string]labels.Set
}

type located struct {
	*core.Pod

	address netip.Addr
}

func newScene(world World) scene {
	s := scene{namespaces: map[string]labels.Set{}}
	for _, namespace := range world.Namespaces {
		s.namespaces[namespace.Name] = namespace.Labels
	}
	// Because the status of an ended pod may still have the address that a new pod got.
	given := map[netip.Addr]string{}
	for key, address := range world.Addresses {
		given[address] = key
	}
	for _, pod := range world.Pods {
		key := Key(pod.Namespace, pod.Name)
		address, known := world.Addresses[key]
		if !known {
			address, _ = netip.ParseAddr(pod.Status.PodIP)
		}
		owner, taken := given[address]
		if pod.Spec.HostNetwork || ended(pod) || !address.Is4() || taken && owner != key {
			continue
		}
		s.pods = append(s.pods, located{Pod: pod, address: address})
	}
	slices.SortFunc(s.pods, func(a, b located) int { return a.address.Compare(b.address) })
	return s
}

// ended reports whether a pod has ended, so that another pod may have its address.
func ended(pod *core.Pod) bool {
	return pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
}

// directions returns the directions in which a policy isolates the pods that it selects.
func directions(policy *networking.NetworkPolicy) (ingress, egress bool) {
	if types := policy.Spec.PolicyTypes; len(types) > 0 {
		return slices.Contains(types, networking.PolicyTypeIngress), slices.Contains(types, networking.PolicyTypeEgress)
	}
	return true, len(policy.Spec.Egress) > 0
}

func (s scene) ingress(policy *networking.NetworkPolicy, receiver located) []Allowed {
	var allowed []Allowed
	for _, rule := range policy.Spec.Ingress {
		ports, some := portsOf(rule.Ports, receiver)
		peers := peersOf(s.selected(rule.From, policy.Namespace), rule.From)
		// Peers that match no pod allow nothing, while no peers allow all.
		if some && (len(rule.From) == 0 || len(peers) > 0) {
			allowed = append(allowed, Allowed{Peers: peers, Ports: ports})
		}
	}
	return allowed
}

func (s scene) egress(policy *networking.NetworkPolicy) []Allowed {
	var allowed []Allowed
	for _, rule := range policy.Spec.Egress {
		receivers := s.selected(rule.To, policy.Namespace)
		numbered, named := splitPorts(rule.Ports)
		peers := peersOf(receivers, rule.To)
		if (len(named) == 0 || len(numbered) > 0) && (len(rule.To) == 0 || len(peers) > 0) {
			ports, _ := portsOf(numbered, located{})
			allowed = append(allowed, Allowed{Peers: peers, Ports: ports})
		}
		if len(rule.To) == 0 {
			receivers = s.pods
		}
		allowed = append(allowed, byName(named, receivers)...)
	}
	return allowed
}

// byName allows named ports, for each receiver separately, because a name can mean another number on each.
func byName(named []networking.NetworkPolicyPort, receivers []located) []Allowed {
	if len(named) == 0 {
		return nil
	}
	var allowed []Allowed
	for _, receiver := range receivers {
		if ports, some := portsOf(named, receiver); some {
			allowed = append(allowed, Allowed{Peers: []Peer{podPeer(receiver)}, Ports: ports})
		}
	}
	return allowed
}

// selected returns the pods that at least one of the peers selects.
func (s scene) selected(peers []networking.NetworkPolicyPeer, home string) []located {
	var found []located
	for _, pod := range s.pods {
		if slices.ContainsFunc(peers, func(peer networking.NetworkPolicyPeer) bool { return s.selects(peer, pod, home) }) {
			found = append(found, pod)
		}
	}
	return found
}

func (s scene) selects(peer networking.NetworkPolicyPeer, pod located, home string) bool {
	switch {
	case peer.IPBlock != nil || peer.PodSelector == nil && peer.NamespaceSelector == nil:
		return false
	case peer.NamespaceSelector == nil && pod.Namespace != home:
		return false
	case peer.NamespaceSelector != nil && !matches(peer.NamespaceSelector, s.namespaces[pod.Namespace]):
		return false
	}
	return peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)
}

// matches reports whether the selector matches the labels. An invalid selector matches nothing.
func matches(selector *meta.LabelSelector, set map[string]string) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(set))
}

// peersOf returns the pods, and the address blocks among the peers.
func peersOf(pods []located, peers []networking.NetworkPolicyPeer) []Peer {
	var all []Peer
	for _, pod := range pods {
		all = append(all, podPeer(pod))
	}
	for _, peer := range peers {
		if peer.IPBlock == nil {
			continue
		}
		block, err := netip.ParsePrefix(peer.IPBlock.CIDR)
		if err != nil || !block.Addr().Is4() {
			continue
		}
		one := Peer{Range: block.Masked()}
		for _, text := range peer.IPBlock.Except {
			if except, err := netip.ParsePrefix(text); err == nil {
				one.Except = append(one.Except, except.Masked())
			}
		}
		all = append(all, one)
	}
	return all
}

func podPeer(pod located) Peer {
	return Peer{Range: netip.PrefixFrom(pod.address, pod.address.BitLen())}
}

func splitPorts(ports []networking.NetworkPolicyPort) (numbered, named []networking.NetworkPolicyPort) {
	for _, port := range ports {
		if port.Port != nil && port.Port.StrVal != "" {
			named = append(named, port)
		} else {
			numbered = append(numbered, port)
		}
	}
	return numbered, named
}

// portsOf returns the ports, with the receiver's numbers for names. It returns false if the policy has ports and the
// receiver has none of them.
func portsOf(ports []networking.NetworkPolicyPort, receiver located) ([]Port, bool) {
	var all []Port
	for _, port := range ports {
		protocol := core.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		one := Port{Protocol: strings.ToLower(string(protocol))}
		switch {
		case port.Port == nil:
		case port.Port.StrVal != "":
			number := numberOf(port.Port.StrVal, protocol, receiver)
			if number == 0 {
				continue
			}
			one.First, one.Last = number, number
		default:
			one.First, one.Last = port.Port.IntVal, port.Port.IntVal
			if port.EndPort != nil {
				one.Last = *port.EndPort
			}
		}
		all = append(all, one)
	}
	return all, len(ports) == 0 || len(all) > 0
}

func numberOf(name string, protocol core.Protocol, pod located) int32 {
	if pod.Pod == nil {
		return 0
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, port := range container.Ports {
			if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == core.ProtocolTCP) {
				return port.ContainerPort
			}
		}
	}
	return 0
}
