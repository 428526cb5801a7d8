package docker

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/pkg/authconfig"
)

func TestParseLogin(t *testing.T) {
	for value, want := range map[string]string{
		"user:pass:word\n":  "user pass:word any",
		"user":              "",
		":x":                "",
		"x:":                "",
		"{":                 "",
		"{}":                "",
		`{"auths":{"a":1}}`: "",
		`{"auths":{"hub.example":{"username":"u","password":"p"}}}`:                   "u p hub.example",
		`{"auths":{"https://hub.example/v1/":{"auth":"dTpw"}}}`:                       "u p hub.example",
		`{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}`:                   "u p docker.io",
		`{"auths":{"hub.example":{"auth":"%"}}}`:                                      "",
		`{"auths":{"hub.example":{"identitytoken":"t"},"x":{"auth":"dTpw"}}}`:         "u p x",
		`{"credsStore":"desktop","auths":{"hub.example":{"auth":"dTpwOnc="}},"x":{}}`: "u p:w hub.example",
	} {
		l, ok := parseLogin(value)
		if ok != (want != "") {
			t.Errorf("%s: got %+v, %v", value, l, ok)
		}
		if !ok {
			continue
		}
		wanted := strings.Fields(want)
		host := wanted[2]
		text, err := l.header(host)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := authconfig.Decode(text)
		if err != nil || auth.Username != wanted[0] || auth.Password != wanted[1] || auth.ServerAddress != host {
			t.Errorf("%s: got %+v, %v", value, auth, err)
		}
		if host == "any" {
			continue
		}
		if text, err = l.header("elsewhere.example"); err != nil {
			t.Fatal(err)
		}
		if auth, err := authconfig.Decode(text); err != nil || auth.Username != "" {
			t.Errorf("%s: another registry is told %+v, %v", value, auth, err)
		}
	}
}
