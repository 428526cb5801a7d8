package docker

import (
	"testing"

	"github.com/distribution/reference"
)

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
