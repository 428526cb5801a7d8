package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestPack: the archive has the files, owned by root, and the settings of the gateway's own Dockerfile; the same files
// give the same archive and name.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "var", "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		if err := os.WriteFile(filepath.Join(root, "davit-gateway"), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := func() string {
		image, err := pack("../../Dockerfile.gateway", root, "davit-gateway", filepath.Join(dir, "image.tar"))
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	put("one")
	first := build()
	files := untar(t, filepath.Join(dir, "image.tar"))
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 || len(manifest[0].Layers) != 1 {
		t.Fatalf("the manifest is %s, %v", files["manifest.json"], err)
	}
	var config v1.ConfigFile
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(first, "davit-gateway:") || len(manifest) != 1 || !reflect.DeepEqual(manifest[0].RepoTags, []string{first}) {
		t.Errorf("the image %s is named %v in its archive", first, manifest)
	}
	if c := config.Config; c.User != "65532:65532" || !reflect.DeepEqual(c.Entrypoint, []string{"/davit-gateway"}) || len(c.Env) == 0 {
		t.Errorf("the image is to run as %+v", c)
	}
	layer := filepath.Join(dir, "layer.tar")
	if err := os.WriteFile(layer, files[manifest[0].Layers[0]], 0o600); err != nil {
		t.Fatal(err)
	}
	inside := untar(t, layer)
	if _, there := inside["var/lib/"]; !there || string(inside["davit-gateway"]) != "one" {
		t.Errorf("the layer has %d files", len(inside))
	}
	if again := build(); again != first || !reflect.DeepEqual(untar(t, filepath.Join(dir, "image.tar")), files) {
		t.Errorf("the same files make %s and %s", first, again)
	}
	if put("two"); build() == first {
		t.Error("another program makes an image of the same name")
	}
}

// untar returns the files of an archive, all of which root must own.
func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files := map[string][]byte{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s is %s's (%d:%d)", header.Name, header.Uname, header.Uid, header.Gid)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDockerfilesBeyondPack: an instruction that only Docker can carry out is refused.
func TestDockerfilesBeyondPack(t *testing.T) {
	for _, text := range []string{"FROM debian", "FROM scratch\nRUN true", "FROM scratch\nCOPY other/ /", "FROM scratch\nENTRYPOINT /davit-gateway"} {
		if _, err := readDockerfile(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
