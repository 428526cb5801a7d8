package docker

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"

	"davit/internal/faas"
)

func TestReferences(t *testing.T) {
	cases := []struct {
		dockerfile string
		want       []string
		refused    bool
	}{
		{"FROM a\nFROM b:1 AS x\nFROM x\nFROM scratch\nFROM a\n", []string{"a", "b:1"}, false},
		{"from --platform=linux/amd64 a as X\ncopy --chown=1 --from=x / /\nCOPY --from=0 / /\nCOPY --from=c / /\n", []string{"a", "c"}, false},
		{"ARG V=3\nARG N=\"py:$V\"\nFROM ${N}\nFROM py:${W:-4}\nFROM py:${V:-5}\n", []string{"py:3", "py:4"}, false},
		{"# escape=`\nFROM `\n# between\n a\nRUN dir C:\\\nFROM b\n", []string{"a", "b"}, false},
		{"\xef\xbb\xbfFROM \\\n  # comment\n\n  a\r\nRUN echo \\\n FROM no\n", []string{"a"}, false},
		{"FROM a\nARG V=1\nFROM b:$V\n", nil, true},
		{"FROM $\n", nil, true},
		{"FROM ${A\n", nil, true},
		{"FROM a\nCOPY --from=$X / /\n", nil, true},
		{"FROM a\nCOPY --from=7 / /\n", []string{"a", "7"}, false},
		{"FROM --platform=x\n", nil, true},
		{"FROM\n", nil, true},
		{"", nil, true},
	}
	for _, c := range cases {
		got, err := references([]byte(c.dockerfile))
		if !slices.Equal(got, c.want) || (err != nil) != c.refused {
			t.Errorf("%q: got %q, %v", c.dockerfile, got, err)
		}
		if err != nil && faas.KindOf(err) != faas.BuildFailed {
			t.Errorf("%q: got %v", c.dockerfile, err)
		}
	}
}

func FuzzReferences(f *testing.F) {
	f.Add("ARG V=3\nFROM ${V:-x}$V AS a\nCOPY --from=a / /\n")
	f.Fuzz(func(t *testing.T, dockerfile string) {
		images, err := references([]byte(dockerfile))
		for _, image := range images {
			if err != nil || image == "" || strings.ContainsAny(image, "$ \n") {
				t.Errorf("%q is no image, %v", image, err)
			}
		}
	})
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"registry:5000":              "registry:5000/davit/f:3",
		"registry:5000/":             "registry:5000/davit/f:3",
		"127.0.0.1:5000/team/davit/": "127.0.0.1:5000/team/davit/f:3",
		"registry.example.com/x":     "registry.example.com/x/f:3",
		"registry":                   "", // would be Docker Hub's
		"http://registry:5000":       "",
		"Registry:5000/Up":           "",
		"":                           "",
	} {
		a, err := parseAddress(text)
		if err != nil {
			if want != "" {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		ref := faas.RevisionRef{Function: "f", Number: 3}
		back, is := a.revision(a.tag(ref))
		if a.tag(ref) != want || !is || back != ref {
			t.Errorf("%q: got %s, and back %v, %v", text, a.tag(ref), back, is)
		}
	}
	push, err := parseAddress("registry:5000/team")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"localhost:30500":       "localhost:30500/team/f@sha256:0",
		"localhost:30500/":      "localhost:30500/team/f@sha256:0",
		"localhost:30500/other": "localhost:30500/other/f@sha256:0",
	} {
		if a, err := parsePullAddress(text, push); err != nil || a.pinned("f", "sha256:0") != want {
			t.Errorf("%q: got %+v, %v", text, a, err)
		}
	}
	for _, tag := range []string{"registry:5000/team/f:latest", "registry:5000/team/f", "registry:5000/team/f:0", "registry:5000/team/a/b:1", "registry:5000/other/f:1", "f:1"} {
		if ref, is := push.revision(tag); is {
			t.Errorf("%s counts as %v", tag, ref)
		}
	}
}

func TestAllowList(t *testing.T) {
	l, err := newAllowList([]string{"python:3.*", " debian", "", "registry.example:5000/base/*"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"python:3.13": true, "docker.io/library/python:3.13": true, "python:2": false, "python": false, "evil/python:3.13": false,
		"debian": true, "debian:12": true, "registry.example:5000/base/x/y:1": true, "registry.example:5000/base": false, "pythonx3.1": false,
	} {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.check(reference.TagNameOnly(named)); (err == nil) != want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

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

func TestWrapper(t *testing.T) {
	w := wrapper{base: "sha256:1", source: true, setup: "echo '\"$X\"' >a\n\\", config: config{User: "app", StopSignal: "SIGQUIT", Cmd: []string{"x"}}}
	want := `FROM sha256:1
COPY davit/ /davit/
COPY source/ /function/
WORKDIR /function
USER 0:0
RUN ["/bin/sh","-c","echo '\"$X\"' >a\n\\"]
USER app
STOPSIGNAL SIGTERM
ENTRYPOINT ["/davit/runner"]
`
	if got, err := w.text(); err != nil || got != want {
		t.Errorf("got\n%s%v", got, err)
	}
	if _, err := (&wrapper{config: config{User: "a\nRUN b"}}).text(); faas.KindOf(err) != faas.BuildFailed {
		t.Errorf("a user of two lines: got %v", err)
	}
}

func TestIgnored(t *testing.T) {
	skip, err := ignored([]byte("*.log\n/node_modules\n!keep.log\nDockerfile\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"a.log": true, "keep.log": false, "node_modules": true, "node_modules/x/y": true, "src/a.log": false,
		"Dockerfile": false, ".dockerignore": false, "app.py": false,
	} {
		if skip(name) != want {
			t.Errorf("%s: got %v", name, !want)
		}
	}
	for _, text := range []string{"[\n", strings.Repeat("a\n", maxIgnored+1)} {
		if _, err := ignored([]byte(text)); faas.KindOf(err) != faas.BuildFailed {
			t.Errorf("%.10q: got %v", text, err)
		}
	}
	if skip, err := ignored(nil); err != nil || skip != nil {
		t.Errorf("no file: got %v", err)
	}
}

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

func TestSteps(t *testing.T) {
	var log bytes.Buffer
	s := newSteps(&log, 0)
	for _, text := range []string{
		"Step 1/3 : FROM base:1\n", " ---> 111111111111\n", "Step 2/3 : RUN echo\n", " ---> Running in 222222222222\n",
		"---> not ours\n", " ---> 1234\n", "out", "put\n", "Removing intermediate container 222222222222\n", " ---> Removed intermediate container 222222222222\n", " ---> 333333333333\n",
		"Step 3/3 : CMD [\"x\"]\n", " ---> Using cache\n", " ---> 444444444444\n", "Successfully built 444444444444\n", "Successfully tagged x:1\n",
	} {
		if err := s.message(&message{Stream: text}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "Step 1/3 : FROM base:1\nStep 2/3 : RUN echo\n---> not ours\n ---> 1234\noutput\nStep 3/3 : CMD [\"x\"]\n"; log.String() != want {
		t.Errorf("the log is\n%s", &log)
	}
	if want := []string{"333333333333", "444444444444"}; !reflect.DeepEqual(s.made, want) {
		t.Errorf("made %q", s.made)
	}
}
