//go:build cluster

package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"davit/internal/archive"
	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// base is the image that tests build on.
const base = "base:1"

// site is a real daemon and registry.
type site struct {
	daemon   *testenv.DockerServer
	registry *testenv.RegistryServer
	docker   *client.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{daemon: testenv.Docker(t), registry: testenv.Registry(t)}
	var err error
	if s.docker, err = client.New(client.WithHost(s.daemon.Host)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.docker.Close() })
	s.daemon.Import(base)
	return s
}

// builder returns a Builder for the site, after change has changed its options.
func (s *site) builder(t *testing.T, change func(*Options)) *Builder {
	t.Helper()
	o := Options{
		Host: s.daemon.Host, Registry: s.registry.Addr, RegistryPull: "localhost:30500", BaseImage: base,
		Runner: runnerProgram(t), Dir: t.TempDir(),
		Limits: archive.Limits{PackedBytes: 10 << 20, UnpackedBytes: 10 << 20, Entries: 1000},
		Memory: 512 * faas.MiB,
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// builtRunner is the real runner, built once.
var builtRunner = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "davit-runner-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "davit-runner")
	cmd := exec.Command("go", "build", "-o", path, "davit/cmd/davit-runner")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.Join(err, errors.New(string(out)), os.RemoveAll(dir))
	}
	content, err := os.ReadFile(path)
	return string(content), errors.Join(err, os.RemoveAll(dir))
})

func runnerProgram(t *testing.T) string {
	t.Helper()
	content, err := builtRunner()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "davit-runner")
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// entry is a file or link of a source.
type entry struct {
	name, content string
	mode          int64
	link          string
}

func file(name, content string) entry { return entry{name: name, content: content, mode: 0o644} }

func source(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Size: int64(len(e.content)), Uid: 1234}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// revision returns a revision as it is registered.
func revision(name faas.FunctionName, number faas.RevisionNumber, fs faas.FunctionSpec, packed []byte) *faas.Revision {
	rev := &faas.Revision{Function: name, Number: number, Spec: spec.CompleteFunction(fs, faas.Defaults{BaseImage: base}), State: faas.RevisionBuilding}
	if packed != nil {
		sum := sha256.Sum256(packed)
		rev.SourceSum = hex.EncodeToString(sum[:])
	}
	return rev
}

// make builds a revision and returns the result and the log.
func (b *Builder) make(ctx context.Context, rev *faas.Revision, packed []byte) (faas.Built, string, error) {
	var log bytes.Buffer
	var r io.Reader
	if packed != nil {
		r = bytes.NewReader(packed)
	}
	built, err := b.Build(ctx, rev, r, &log)
	return built, log.String(), err
}

// mustMake fails the test when the build does.
func (b *Builder) mustMake(t *testing.T, rev *faas.Revision, packed []byte) (faas.Built, string) {
	t.Helper()
	built, log, err := b.make(t.Context(), rev, packed)
	b.tidying.Wait() // because some tests remove images as well
	if err != nil {
		t.Fatalf("build %s: %v\n%s", rev.Ref(), err, log)
	}
	return built, log
}

// pull removes an image from the daemon, pulls it from the registry as a node does, and returns its local name.
func (s *site) pull(t *testing.T, built faas.Built) string {
	t.Helper()
	rest, is := strings.CutPrefix(built.Image, "localhost:30500/")
	if !is {
		t.Fatalf("the image is %q", built.Image)
	}
	name := s.registry.Addr + "/" + rest
	repository, _, _ := strings.Cut(name, "@")
	list, err := s.docker.ImageList(t.Context(), client.ImageListOptions{Filters: client.Filters{}.Add("reference", repository)})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		if _, err := s.docker.ImageRemove(t.Context(), item.ID, client.ImageRemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := s.docker.ImagePull(t.Context(), name, client.ImagePullOptions{})
	if err == nil {
		err = answer.Wait(t.Context())
	}
	if err != nil {
		t.Fatalf("pull %s: %v", name, err)
	}
	return name
}

// sh runs a script in an image, which must succeed, and returns its output.
func (s *site) sh(t *testing.T, image, script string) string {
	t.Helper()
	out, code := s.start(t, image, []string{"/bin/sh", "-c"}, script)
	if code != 0 {
		t.Errorf("%s ended with %d: %s", script, code, out)
	}
	return out
}

// start runs a container and returns its output and exit code; a nil entry point is the image's.
func (s *site) start(t *testing.T, image string, entrypoint []string, args ...string) (string, int64) {
	t.Helper()
	ctx := t.Context()
	made, err := s.docker.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: image, Entrypoint: entrypoint, Cmd: args},
	})
	if err != nil {
		t.Fatal(err)
	}
	waiting := s.docker.ContainerWait(ctx, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := s.docker.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	var code int64
	select {
	case end := <-waiting.Result:
		code = end.StatusCode
	case err := <-waiting.Error:
		t.Fatal(err)
	}
	logs, err := s.docker.ContainerLogs(ctx, made.ID, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = logs.Close() }()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil {
		t.Fatal(err)
	}
	if _, err := s.docker.ContainerRemove(ctx, made.ID, client.ContainerRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	return out.String(), code
}

// images returns the tags of the daemon's images, "-" for an image without one.
func (s *site) images(t *testing.T) []string {
	t.Helper()
	list, err := s.docker.ImageList(t.Context(), client.ImageListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, item := range list.Items {
		tags := slices.DeleteFunc(slices.Clone(item.RepoTags), func(tag string) bool { return tag == "<none>:<none>" })
		if len(tags) == 0 {
			tags = []string{"-"}
		}
		names = append(names, tags...)
	}
	slices.Sort(names)
	return names
}

// containers counts all containers, also stopped ones.
func (s *site) containers(t *testing.T) int {
	t.Helper()
	list, err := s.docker.ContainerList(t.Context(), client.ContainerListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// failed checks the kind and detail of a build's error.
func failed(t *testing.T, err error, kind faas.Kind, detail string) {
	t.Helper()
	var e *faas.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Detail, detail) {
		t.Errorf("got %v, want %s with %q", err, kind, detail)
	}
}
