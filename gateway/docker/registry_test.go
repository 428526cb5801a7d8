package docker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// TestRegistryPages: lists are read to their end, over pages that are named by path or by URL; what is not there is
// none.
func TestRegistryPages(t *testing.T) {
	var host string
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.URL.Path != "/v2/" && user+":"+password != "me:pass" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer, next := "{}", ""
		switch r.URL.Path + "?last=" + r.URL.Query().Get("last") {
		case "/v2/?last=":
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		case "/v2/_catalog?last=":
			answer, next = `{"repositories":["davit/a","b"]}`, `</v2/_catalog?last=b&n=2>; rel="next"`
		case "/v2/_catalog?last=b":
			answer = `{"repositories":["davit/c"]}`
		case "/v2/davit/a/tags/list?last=":
			answer, next = `{"tags":["1"]}`, `<http://`+host+`/v2/davit/a/tags/list?last=1&n=1>; rel="next"`
		case "/v2/davit/a/tags/list?last=1":
			answer = `{"tags":["2","latest"]}`
		case "/v2/davit/broken/tags/list?last=":
			w.WriteHeader(http.StatusForbidden)
			return
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if next != "" {
			w.Header().Set("Link", next)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer registry.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	host = registry.Listener.Addr().String()
	c, err := newRegistryClient(host, true, &authn.Basic{Username: "me", Password: "pass"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.repositories(t.Context())
	if want := []string{"davit/a", "b", "davit/c"}; err != nil || !slices.Equal(all, want) {
		t.Errorf("the repositories are %q, %v", all, err)
	}
	tags, err := c.tags(t.Context(), "davit/a")
	if want := []string{"1", "2", "latest"}; err != nil || !slices.Equal(tags, want) {
		t.Errorf("the tags are %q, %v", tags, err)
	}
	if tags, err := c.tags(t.Context(), "davit/none"); err != nil || len(tags) > 0 {
		t.Errorf("the tags of none are %q, %v", tags, err)
	}
	if tags, err := c.tags(t.Context(), "davit/broken"); err == nil {
		t.Errorf("the tags that may not be read are %q", tags)
	}
	if digest, err := c.digest(t.Context(), host+"/davit/a:3"); err != nil || digest != "" {
		t.Errorf("a tag that is not there has the digest %q, %v", digest, err)
	}
	if err := c.remove(t.Context(), "davit/a", "sha256:"+strings.Repeat("0", 64)); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	secure, err := newRegistryClient(host, false, authn.Anonymous)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := secure.repositories(t.Context()); err == nil {
		t.Errorf("a registry that needs TLS was asked without: %q", all)
	}
}

func TestWithin(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for host, want := range map[string]bool{"127.0.0.1:5000": true, "localhost:5000": true, "127.1.1.1": true, "10.0.0.1:5000": false, "registry:5000": false} {
		if within(host, networks) != want {
			t.Errorf("%s: got %v", host, !want)
		}
	}
}
