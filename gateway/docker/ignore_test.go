package docker

import (
	"strings"
	"testing"

	"davit/internal/faas"
)

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
