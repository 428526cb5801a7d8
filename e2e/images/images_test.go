//go:build cluster

package images

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"davit/internal/testenv"
)

// docker runs Docker's command line client.
func docker(t *testing.T, host string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+host)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func must(t *testing.T, host string, args ...string) string {
	t.Helper()
	out, err := docker(t, host, args...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// build runs `make images` with a daemon.
func build(t *testing.T, host, version string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "-C", "../..", "images", "VERSION="+version)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+host, "DIST="+filepath.Join(t.TempDir(), "dist"))
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make images: %v\n%s", err, out)
	}
	t.Logf("in %v:\n%s", time.Since(began), out)
}

// image is the part of an image's description that the test reads.
type image struct {
	Size   int64
	RootFS struct{ Layers []string }
	Config struct {
		User       string
		Entrypoint []string
	}
}

func inspect(t *testing.T, host, name string) image {
	t.Helper()
	var found []image
	if err := json.Unmarshal([]byte(must(t, host, "image", "inspect", name)), &found); err != nil || len(found) != 1 {
		t.Fatalf("inspect %s: %v", name, err)
	}
	return found[0]
}

func TestImages(t *testing.T) {
	host := testenv.Docker(t).Host
	build(t, host, "v1")
	for name, entry := range map[string]string{"davit-gateway": "/davit-gateway", "davit-runner": "/davit/runner"} {
		got := inspect(t, host, name+":v1")
		if got.Config.User != "65532:65532" || !reflect.DeepEqual(got.Config.Entrypoint, []string{entry}) || got.Size > 100<<20 {
			t.Errorf("%s is %+v", name, got)
		}
		if !reflect.DeepEqual(got, inspect(t, host, name+":dev")) {
			t.Errorf("%s:dev is another image", name)
		}
		if version := must(t, host, "run", "--rm", name+":v1", "--version"); version == "" {
			t.Errorf("%s has no version", name)
		}
	}
	for _, program := range []string{"/davit-runner", "/davit-setup"} {
		must(t, host, "run", "--rm", "--entrypoint", program, "davit-gateway:v1", "--version")
	}

	t.Run("the gateway serves", func(t *testing.T) {
		id := must(t, host, "run", "--detach", "--read-only", "--volume", "/var/lib/davit", "--volume", "/tmp", "--cap-drop", "ALL", "davit-gateway:v1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for log := ""; !strings.Contains(log, "DAVIT_CONSOLE="); {
			log = must(t, host, "logs", id)
			if running := must(t, host, "inspect", "--format", "{{.State.Running}}", id); running != "true" || ctx.Err() != nil {
				t.Fatalf("the gateway does not serve:\n%s", log)
			}
		}
		must(t, host, "rm", "--force", "--volumes", id)
	})
	t.Run("a second build gives the same layers", func(t *testing.T) {
		other := testenv.Docker(t).Host
		build(t, other, "v1")
		for _, name := range []string{"davit-gateway:v1", "davit-runner:v1"} {
			if a, b := inspect(t, host, name).RootFS, inspect(t, other, name).RootFS; !reflect.DeepEqual(a, b) {
				t.Errorf("%s has the layers %q, and %q in the second build", name, a.Layers, b.Layers)
			}
		}
	})
}
