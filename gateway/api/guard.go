package api

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"davit/gateway/edge"
	"davit/internal/faas"
	"davit/internal/text"
)

func newGuard(hosts []string) *guard {
	g := &guard{}
	for _, h := range hosts {
		g.hosts = append(g.hosts, strings.ToLower(hostOnly(h)))
	}
	return g
}

// check returns a Forbidden error for a request that a page of another site may have made.
func (g *guard) check(r *edge.Request) error {
	host := r.Host()
	if target := r.TargetHost(); !g.expects(host) || !g.expects(target) {
		return faas.Errorf(faas.Forbidden, "the host %q is not one that this console is known by: use its address or localhost, or add the name to its settings", text.Clip(host, 80))
	}
	switch site := r.Header("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
	default:
		return faas.Errorf(faas.Forbidden, "the request was made by a page of another site (Sec-Fetch-Site: %s); open the console itself", text.Clip(site, 40))
	}
	if origin := r.Header("Origin"); origin != "" && !sameOrigin(origin, host) {
		return faas.Errorf(faas.Forbidden, "the request was made by a page of %s; open the console itself", text.Clip(origin, 80))
	}
	return nil
}

// expects reports whether host is a name of this console. Every address is accepted, because an address cannot be
// rebound.
func (g *guard) expects(host string) bool {
	name := strings.ToLower(hostOnly(host))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(g.hosts, name)
}

func hostOnly(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// sameOrigin reports whether an Origin names the host of the request.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(withPort(u.Host, u.Scheme), withPort(host, u.Scheme))
}

func withPort(host, scheme string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if scheme == "https" {
		return host + ":443"
	}
	return host + ":80"
}
