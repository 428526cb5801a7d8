package cluster

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// policyCase is a set of policies and the connections that it allows.
type policyCase struct {
	name string
	// file is a file in testdata/policies; "" means no policy.
	file string
	// passes says for each FROM->TO whether the connection is allowed.
	passes map[string]bool
}

func policyCases() []policyCase {
	const (
		friendWeb, friendHigh     = "home/friend->server:8080", "home/friend->server:9050"
		strangerWeb, strangerHigh = "home/stranger->server:8080", "home/stranger->server:9050"
		visitorWeb                = "away/visitor->server:8080"
		friendAPI                 = "home/friend->api:6443"
		friendService             = "home/friend->service:443"
	)
	return []policyCase{
		{"none", "", map[string]bool{friendWeb: true, friendHigh: true, strangerWeb: true, visitorWeb: true, friendAPI: true, friendService: true}},
		{"all ingress denied", "deny-ingress.yaml", map[string]bool{friendWeb: false, visitorWeb: false, friendAPI: true}},
		{"pods and a port by name", "pods.yaml", map[string]bool{friendWeb: true, friendHigh: false, strangerWeb: false, visitorWeb: false}},
		{"namespaces and a range of ports", "namespaces.yaml", map[string]bool{
			visitorWeb: true, friendWeb: false, friendHigh: true, strangerHigh: true,
		}},
		{"addresses with an exception", "block.yaml", map[string]bool{friendWeb: true, strangerWeb: false, visitorWeb: true}},
		{"all egress denied", "deny-egress.yaml", map[string]bool{friendWeb: false, friendAPI: false, friendService: false, visitorWeb: true}},
		{"egress to pods and a port by name", "egress.yaml", map[string]bool{friendWeb: true, friendHigh: false, friendAPI: false, strangerWeb: true}},
		{"egress to addresses", "egress-block.yaml", map[string]bool{friendWeb: false, friendAPI: true, friendService: true}},
	}
}

func testPolicies(t *testing.T, u user) {
	u.must(t, "apply", "--filename=testdata/network.yaml")
	for _, namespace := range []string{"home", "away"} {
		u.must(t, "wait", "--namespace="+namespace, "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	}
	targets := strings.NewReplacer("server:", u.address(t, "home", "server")+" ", "api:", "10.244.0.1 ", "service:", "10.96.0.1 ")
	for _, each := range policyCases() {
		t.Run(each.name, func(t *testing.T) {
			if each.file != "" {
				file := filled(t, filepath.Join("testdata", "policies", each.file), "STRANGER", u.address(t, "home", "stranger"))
				u.must(t, "apply", "--namespace=home", "--filename="+file)
				t.Cleanup(func() { removePolicies(t, u) })
			}
			for route, want := range each.passes {
				from, to, _ := strings.Cut(route, "->")
				connect := "nc -w 1 " + targets.Replace(to) + " </dev/null"
				eventually(t, route+" is allowed or denied, as the policies say", func() bool {
					namespace, pod, _ := strings.Cut(from, "/")
					_, err := u.kubectl(t, "exec", "--namespace="+namespace, pod, "--", "sh", "-c", connect)
					return (err == nil) == want
				})
			}
		})
	}
	t.Run("policies hold from a pod's first packet on", func(t *testing.T) {
		u.must(t, "apply", "--namespace=home", "--filename=testdata/policies/hasty.yaml")
		if got := u.job(t, filled(t, "testdata/hasty.yaml", "SERVER", u.address(t, "home", "server")), "home", "hasty"); got != "denied\n" {
			t.Errorf("a pod whose egress is denied has %s the server", strings.TrimSpace(got))
		}
	})
}

// removePolicies removes the policies. It needs its own context, because the test's has ended.
func removePolicies(t *testing.T, u user) {
	t.Helper()
	if err := u.c.kubectl(context.Background(), nil, "delete", "networkpolicies", "--namespace=home", "--all"); err != nil {
		t.Error(err)
	}
}
