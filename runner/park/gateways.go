package park

import (
	"context"
	"net"
	"slices"
	"time"
)

const (
	resolveEvery  = 2 * time.Second
	resolveWithin = 2 * time.Second
)

// findGateways keeps a link to every address of a gateway.
func (l *connections) findGateways(ctx context.Context) {
	tick := time.NewTicker(resolveEvery)
	defer tick.Stop()
	known := map[string][]string{} // addresses by name, as last resolved
	for {
		l.mu.Lock()
		names := slices.Concat(l.opts.Gateways, l.peers)
		l.mu.Unlock()
		var addresses []string
		for _, name := range names {
			if found := resolve(ctx, name); len(found) > 0 {
				known[name] = found
			}
			addresses = append(addresses, known[name]...)
		}
		l.keepLinks(ctx, addresses)
		select {
		case <-ctx.Done():
			return
		case <-l.renamed.C():
		case <-tick.C:
		}
	}
}

// resolve returns all addresses of a host:port, or none if the look-up fails.
func resolve(ctx context.Context, name string) []string {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return nil
	}
	if net.ParseIP(host) != nil {
		return []string{name}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	hosts, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil
	}
	for i := range hosts {
		hosts[i] = net.JoinHostPort(hosts[i], port)
	}
	return hosts
}

// keepLinks starts a link for each address that has none. A link whose address is no longer in the list ends when its
// connection ends.
func (l *connections) keepLinks(ctx context.Context, addresses []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for address, k := range l.links {
		k.wanted = slices.Contains(addresses, address)
		if !k.wanted && k.gateway == "" {
			k.cancel()
			delete(l.links, address)
		}
	}
	for _, address := range addresses {
		if l.links[address] == nil {
			k := newLink(ctx, l, address)
			l.links[address] = k
			l.group.Go(k.run)
		}
	}
}
