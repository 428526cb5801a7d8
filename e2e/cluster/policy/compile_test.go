package policy

import (
	"net/netip"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/knftables"
	"sigs.k8s.io/yaml"
)

// world has the pods web (10.0.0.1, port http 80), api (10.0.0.2, port http 8080) and host in namespace a, guest (10.0.0.3) in
// namespace b, and done, which has ended, with the address of guest.
func world(t *testing.T, policies string) World {
	t.Helper()
	pod := func(namespace, name, address string, ports ...core.ContainerPort) *core.Pod {
		return &core.Pod{
			ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
			Spec:       core.PodSpec{Containers: []core.Container{{Ports: ports}}},
			Status:     core.PodStatus{PodIP: address, Phase: core.PodRunning},
		}
	}
	host := pod("a", "host", "10.0.0.9")
	host.Spec.HostNetwork = true
	done := pod("a", "done", "10.0.0.3")
	done.Status.Phase = core.PodSucceeded
	w := World{
		Namespaces: []*core.Namespace{
			{ObjectMeta: meta.ObjectMeta{Name: "a", Labels: map[string]string{"team": "one"}}},
			{ObjectMeta: meta.ObjectMeta{Name: "b", Labels: map[string]string{"team": "two"}}},
		},
		Pods: []*core.Pod{
			pod("b", "guest", "10.0.0.3"),
			pod("a", "web", "10.0.0.1", core.ContainerPort{Name: "http", ContainerPort: 80}),
			pod("a", "api", "10.0.0.2", core.ContainerPort{Name: "http", ContainerPort: 8080, Protocol: core.ProtocolTCP}),
			host, done,
		},
	}
	for text := range strings.SplitSeq(policies, "---\n") {
		policy := &networking.NetworkPolicy{ObjectMeta: meta.ObjectMeta{Namespace: "a"}}
		if err := yaml.UnmarshalStrict([]byte(text), &policy.Spec); err != nil {
			t.Fatal(err)
		}
		w.Policies = append(w.Policies, policy)
	}
	return w
}

// rules returns the rules of the pods' chains, one line CHAIN: RULE each.
func rules(world World) string {
	tx := knftables.NewFake(knftables.IPv4Family, "t").NewTransaction()
	Write(tx, Compile(world))
	var out strings.Builder
	for line := range strings.Lines(tx.String()) {
		rest, isRule := strings.CutPrefix(strings.TrimSpace(line), "add rule ip t ")
		chain, rule, _ := strings.Cut(rest, " ")
		if isRule && strings.Contains(chain, "gress_") {
			out.WriteString(chain + ": " + rule + "\n")
		}
	}
	return out.String()
}

func TestCompile(t *testing.T) {
	for name, each := range map[string]struct{ policies, want string }{
		"everything in is denied": {
			`podSelector: {matchLabels: {app: web}}`,
			"ingress_10.0.0.1: drop\n",
		},
		"everything out is denied": {
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`,
			"egress_10.0.0.1: drop\n",
		},
		"a policy with egress rules isolates both ways": {
			`{podSelector: {matchLabels: {app: web}}, egress: [{}]}`,
			"ingress_10.0.0.1: drop\negress_10.0.0.1: return\negress_10.0.0.1: drop\n",
		},
		"all pods of the namespace, but the one in the host's network and the one that ended": {
			`podSelector: {}`,
			"ingress_10.0.0.1: drop\ningress_10.0.0.2: drop\n",
		},
		"pods of the same namespace": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}`,
			"ingress_10.0.0.1: ip saddr { 10.0.0.1, 10.0.0.2 } return\ningress_10.0.0.1: drop\n",
		},
		"pods of other namespaces": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: two}}}]}]}`,
			"ingress_10.0.0.1: ip saddr { 10.0.0.3 } return\ningress_10.0.0.1: drop\n",
		},
		"a namespace and a pod of it, together": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: api}}}]}]}`,
			"ingress_10.0.0.1: ip saddr { 10.0.0.2 } return\ningress_10.0.0.1: drop\n",
		},
		"selectors that find nobody allow nobody": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]}`,
			"ingress_10.0.0.1: drop\n",
		},
		"a block with exceptions": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.1.2.0/24]}}]}]}`,
			"ingress_10.0.0.1: ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip saddr != 10.1.2.0/24 return\ningress_10.0.0.1: drop\n",
		},
		"all addresses but some": {
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]}`,
			"egress_10.0.0.1: ip daddr != 10.0.0.0/8 return\negress_10.0.0.1: drop\n",
		},
		"ports: one, a range, all of a protocol": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 53, protocol: UDP}, {port: 8000, endPort: 8099}, {protocol: SCTP}]}]}`,
			"ingress_10.0.0.1: udp dport 53 return\ningress_10.0.0.1: tcp dport 8000-8099 return\n" +
				"ingress_10.0.0.1: meta l4proto sctp return\ningress_10.0.0.1: drop\n",
		},
		"a port by name is the receiver's, going in": {
			`{podSelector: {}, ingress: [{ports: [{port: http}]}]}`,
			"ingress_10.0.0.1: tcp dport 80 return\ningress_10.0.0.1: drop\n" +
				"ingress_10.0.0.2: tcp dport 8080 return\ningress_10.0.0.2: drop\n",
		},
		"a port by name is each receiver's, going out": {
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]}`,
			"egress_10.0.0.1: ip daddr { 10.0.0.1 } tcp dport 80 return\negress_10.0.0.1: ip daddr { 10.0.0.2 } tcp dport 8080 return\n" +
				"egress_10.0.0.1: drop\n",
		},
		"a name that the receiver does not have allows nothing": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: metrics}]}]}`,
			"ingress_10.0.0.1: drop\n",
		},
		"a name of another protocol allows nothing": {
			`{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http, protocol: UDP}]}]}`,
			"ingress_10.0.0.1: drop\n",
		},
		"policies add up": {
			"{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 1}]}]}\n---\n" +
				"{podSelector: {}, ingress: [{ports: [{port: 2}]}]}",
			"ingress_10.0.0.1: tcp dport 1 return\ningress_10.0.0.1: tcp dport 2 return\ningress_10.0.0.1: drop\n" +
				"ingress_10.0.0.2: tcp dport 2 return\ningress_10.0.0.2: drop\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rules(world(t, each.policies)); got != each.want {
				t.Errorf("got\n%swant\n%s", got, each.want)
			}
		})
	}
}

func TestAnAddressIsThatOfThePodThatWasGivenIt(t *testing.T) {
	w := world(t, `podSelector: {}`)
	// api was restarted and got the address that the status of web still has.
	w.Addresses = map[string]netip.Addr{"a/api": netip.MustParseAddr("10.0.0.1")}
	if got, want := rules(w), "ingress_10.0.0.1: drop\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
