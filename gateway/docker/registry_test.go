package docker

import (
	"net/netip"
	"testing"
)

func TestNextPage(t *testing.T) {
	for link, want := range map[string]string{
		`</v2/_catalog?last=x&n=2>; rel="next"`:             "/v2/_catalog?last=x&n=2",
		`<http://other/v2/_catalog?last=x&n=2>; rel="next"`: "/v2/_catalog?last=x&n=2",
		`</v2/_catalog?last=x&n=2>; rel="prev"`:             "",
		``:                                                  "",
		`<%zz>; rel="next"`:                                 "",
	} {
		if got := nextPage(link); got != want {
			t.Errorf("%s: got %q", link, got)
		}
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
