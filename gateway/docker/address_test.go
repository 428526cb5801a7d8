package docker

import (
	"testing"

	"davit/internal/faas"
)

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
