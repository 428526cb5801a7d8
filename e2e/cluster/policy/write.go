package policy

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// Write adds to the transaction the replacement of the whole table by the rules of the isolated pods.
//
// Packets of allowed connections pass. Other packets go through the sender's chain, then the receiver's; each drops a
// packet for which none of its rules returns. The node's own services are receivers without a chain. Packets from the
// node are not checked.
func Write(tx *knftables.Transaction, pods []Isolated) {
	// Because only an existing table can be deleted.
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("network policies of the cluster")})
	for _, direction := range []string{ingress, egress} {
		tx.Add(&knftables.Map{Name: direction, Type: "ipv4_addr : verdict"})
	}
	for _, hook := range []knftables.BaseChainHook{knftables.ForwardHook, knftables.InputHook} {
		chain := string(hook)
		tx.Add(&knftables.Chain{
			Name: chain, Type: knftables.PtrTo(knftables.FilterType), Hook: knftables.PtrTo(hook), Priority: knftables.PtrTo(knftables.FilterPriority),
		})
		tx.Add(&knftables.Rule{Chain: chain, Rule: "ct state established,related accept"})
		tx.Add(&knftables.Rule{Chain: chain, Rule: "ip saddr vmap @" + egress})
		if hook == knftables.ForwardHook {
			tx.Add(&knftables.Rule{Chain: chain, Rule: "ip daddr vmap @" + ingress})
		}
	}
	for _, pod := range pods {
		writeChain(tx, ingress, "ip saddr", pod.Address.String(), pod.Ingress)
		writeChain(tx, egress, "ip daddr", pod.Address.String(), pod.Egress)
	}
}

// The maps from a pod's address to its chain, by direction.
const (
	ingress = "ingress"
	egress  = "egress"
)

func writeChain(tx *knftables.Transaction, direction, peer, address string, allowed *[]Allowed) {
	if allowed == nil {
		return
	}
	chain := direction + "_" + address
	tx.Add(&knftables.Chain{Name: chain})
	for _, one := range *allowed {
		for _, peers := range peerMatches(peer, one.Peers) {
			for _, ports := range portMatches(one.Ports) {
				tx.Add(&knftables.Rule{Chain: chain, Rule: joined(peers, ports, "return")})
			}
		}
	}
	tx.Add(&knftables.Rule{Chain: chain, Rule: "drop"})
	tx.Add(&knftables.Element{Map: direction, Key: []string{address}, Value: []string{"jump " + chain}})
}

// peerMatches returns the matches of the peers' packets: one for all peers without exceptions, and one for each peer
// with exceptions.
func peerMatches(field string, peers []Peer) []string {
	if len(peers) == 0 {
		return []string{""}
	}
	var whole, matches []string
	for _, peer := range peers {
		switch {
		case len(peer.Except) > 0:
			match := everything(field, peer)
			for _, prefix := range peer.Except {
				match += fmt.Sprintf(" %s != %s", field, prefix)
			}
			matches = append(matches, strings.TrimSpace(match))
		case peer.Range.Bits() == 0:
			// Only this match, because a set cannot have all addresses and others, and no other is needed.
			return []string{""}
		case peer.Range.IsSingleIP():
			whole = append(whole, peer.Range.Addr().String())
		default:
			matches = append(matches, fmt.Sprintf("%s %s", field, peer.Range))
		}
	}
	if len(whole) > 0 {
		matches = append(matches, field+" "+set(whole))
	}
	return matches
}

// everything returns the match of a peer's range, "" for all addresses.
func everything(field string, peer Peer) string {
	if peer.Range.Bits() == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s", field, peer.Range)
}

func portMatches(ports []Port) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var matches []string
	for _, port := range ports {
		match := fmt.Sprintf("%s dport %d-%d", port.Protocol, port.First, port.Last)
		switch port.First {
		case 0:
			match = "meta l4proto " + port.Protocol
		case port.Last:
			match = fmt.Sprintf("%s dport %d", port.Protocol, port.First)
		}
		matches = append(matches, match)
	}
	return matches
}

// joined joins the parts that are not empty with spaces.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), " ")
}

// set returns an anonymous set of the items, without duplicates.
func set(items []string) string {
	items = slices.Clone(items)
	slices.Sort(items)
	return "{ " + strings.Join(slices.Compact(items), ", ") + " }"
}
