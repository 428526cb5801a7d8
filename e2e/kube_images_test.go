//go:build cluster

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// registry is the registry of the functions' images, reached directly and not through its Service.
type registry struct {
	at   string // host:port
	name string // as builds reach it
}

func (k *kube) registry(t *testing.T) *registry {
	t.Helper()
	return &registry{at: k.forward(t, "service/davit-registry", 5000)[0], name: k.settings["DAVIT_REGISTRY"]}
}

// testImage is an image of one layer.
type testImage struct {
	name         string
	architecture string            // default: this machine's
	files        map[string][]byte // executable
	links        map[string]string
	config       map[string]any
}

func foreignArchitecture() string {
	if runtime.GOARCH == "arm64" {
		return "amd64"
	}
	return "arm64"
}

// push puts an image into the registry and returns the name that it has for builds.
func (r *registry) push(t *testing.T, i *testImage) string {
	t.Helper()
	repository := "e2e/" + unique(i.name)
	layer, plain := i.layer(t)
	if i.architecture == "" {
		i.architecture = runtime.GOARCH
	}
	config, err := json.Marshal(map[string]any{
		"architecture": i.architecture, "os": "linux", "config": i.config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{plain}},
	})
	if err != nil {
		t.Fatal(err)
	}
	described := func(kind string, blob []byte) map[string]any {
		digest := digestOf(blob)
		upload := r.do(t, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", "", nil, http.StatusAccepted)
		to := upload.Header.Get("Location")
		if _, after, is := strings.Cut(to, "://"); is { // because the registry answers with the host of the request
			to = after[strings.Index(after, "/"):]
		}
		r.do(t, http.MethodPut, to+"&digest="+digest, "application/octet-stream", blob, http.StatusCreated)
		return map[string]any{"mediaType": "application/vnd.docker." + kind, "size": len(blob), "digest": digest}
	}
	const manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": described("container.image.v1+json", config),
		"layers": []any{described("image.rootfs.diff.tar.gzip", layer)},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.do(t, http.MethodPut, "/v2/"+repository+"/manifests/1", manifestType, manifest, http.StatusCreated)
	return r.name + "/" + repository + ":1"
}

func digestOf(blob []byte) string {
	sum := sha256.Sum256(blob)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// layer returns the packed layer of the files, and the digest of the layer before packing.
func (i *testImage) layer(t *testing.T) (packed []byte, plain string) {
	t.Helper()
	var layer, small bytes.Buffer
	w := tar.NewWriter(&layer)
	add := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range i.files {
		add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755}, content)
	}
	for name, to := range i.links {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&small)
	_, err := z.Write(layer.Bytes())
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return small.Bytes(), digestOf(layer.Bytes())
}

// remove removes an image, named by digest, from the registry.
func (r *registry) remove(t *testing.T, image string) {
	t.Helper()
	_, path, _ := strings.Cut(image, "/")
	repository, digest, _ := strings.Cut(path, "@")
	r.do(t, http.MethodDelete, "/v2/"+repository+"/manifests/"+digest, "", nil, http.StatusAccepted)
}

func (r *registry) do(t *testing.T, method, path, contentType string, body []byte, want int) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.at+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != want {
		t.Fatalf("registry: %s %s: %s %s, %v", method, path, answer.Status, text, err)
	}
	return answer
}

// image returns the image of a function's live revision.
func (k *kube) image(t *testing.T, function string) string {
	t.Helper()
	image := decode[struct{ Image string }](t, admin(t, k.Gateway, http.MethodGet, "/v1/functions/"+function, "").Body).Image
	if !strings.HasPrefix(image, k.settings["DAVIT_REGISTRY_PULL"]+"/") || !strings.Contains(image, "@sha256:") {
		t.Fatalf("the image of %s is %q", function, image)
	}
	return image
}

// shellImage has busybox under the names of the programs that tests use, and a working directory with a file.
func shellImage(t *testing.T) *testImage {
	t.Helper()
	program, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("%v: make test-deps installs it", err)
	}
	busybox, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	i := &testImage{name: "shell", files: map[string][]byte{"bin/busybox": busybox, "srv/data.txt": []byte("of the image\n")}, links: map[string]string{}}
	for name := range strings.FieldsSeq("sh cat echo grep id ls nc printf sleep timeout touch true wget") {
		i.links["bin/"+name] = "busybox"
	}
	i.config = map[string]any{"WorkingDir": "/srv", "Env": []string{"PATH=/bin", "GREETING=hello"}}
	return i
}

// staticImage has one static program and nothing else. The program prints its arguments and its user.
func staticImage(t *testing.T) *testImage {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte(`package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println(os.Args[1:], os.Getuid())
	if _, err := os.Stat("/bin/sh"); err == nil {
		os.Exit(9)
	}
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "say")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, source)
	build.Env = append(slices.Clone(os.Environ()), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image's program: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return &testImage{
		name: "static", files: map[string][]byte{"say": binary},
		config: map[string]any{"Entrypoint": []string{"/say", "by itself"}, "Cmd": []string{"more"}},
	}
}

// TestKubeImages: functions from existing images, with a shell and without. A trigger uses the image's command unless
// it names another.
func TestKubeImages(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	r := k.registry(t)
	t.Run("shell", func(t *testing.T) {
		t.Parallel()
		f := k.function(t, "shell", fmt.Sprintf(`"image": %q`, r.push(t, shellImage(t))), nil)
		path := k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "-c", "cat data.txt; echo $GREETING; echo new > new.txt; ls"], "response": "file"`)
		a := get(t, k.Gateway, path, nil)
		status(t, a, http.StatusOK)
		if string(a.Body) != "of the image\nhello\ndata.txt\nnew.txt\n" {
			t.Errorf("the call printed %q", a.Body)
		}
	})
	t.Run("static", func(t *testing.T) {
		t.Parallel()
		f := k.function(t, "static", fmt.Sprintf(`"image": %q`, r.push(t, staticImage(t))), nil)
		path := k.trigger(t, f, `"methods": ["GET"], "response": "file"`)
		trigger(t, k.Gateway, f+"-2", `{"function": "`+f+`", "path": "`+path+`/:word", "methods": ["GET"], "command": ["/say", "{field:word}"], "response": "file"}`)
		for path, want := range map[string]string{path: "[by itself more] 65532\n", path + "/other": "[other] 65532\n"} {
			a := get(t, k.Gateway, path, nil)
			status(t, a, http.StatusOK)
			if string(a.Body) != want {
				t.Errorf("%s printed %q, want %q", path, a.Body, want)
			}
		}
	})
}
