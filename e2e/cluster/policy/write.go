package policy

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// Write adds to the transaction what makes the table hold the rules for the isolated pods and nothing else.
//
// Packets that belong to connections that were let through pass. Others pass the sender's chain, then the receiver's, and either
// drops what none of its rules returns for. The node's own services are receivers without a chain; what the node sends is not looked at.
func Write(tx *knftables.Transaction, pods []Isolated) {
	// A table must be there to be deleted.
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

// peerMatches returns what matches packets of the peers: one match for all that are whole, one for each with exceptions.
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
			// A set holds no range of all addresses beside others, and everything else is in it anyway.
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

// everything is the match of a peer's range, nothing for all addresses.
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

// joined puts a space between the parts that are not empty.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), " ")
}

// set is an anonymous set of what may repeat in the list.
func set(items []string) string {
	items = slices.Clone(items)
	slices.Sort(items)
	return "{ " + strings.Join(slices.Compact(items), ", ") + " }"
}
