package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// An image whose Dockerfile only copies onto nothing needs no Docker to be built:
// it is one layer and a description.

// description is an image's configuration, as Docker's archives have it.
type description struct {
	Architecture string         `json:"architecture"`
	OS           string         `json:"os"`
	Config       containerSpec  `json:"config"`
	RootFS       map[string]any `json:"rootfs"`
}

type containerSpec struct {
	User       string   `json:",omitempty"`
	Env        []string `json:",omitempty"`
	Entrypoint []string `json:",omitempty"`
}

// pack writes the image that the Dockerfile describes, of the files below root, to an archive as `docker save` makes
// them, and returns its name with a tag that tells its content.
func pack(dockerfile, root, name, archive string) (image string, err error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return "", err
	}
	spec, err := readDockerfile(string(text))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", dockerfile, err)
	}
	layer, err := os.CreateTemp(filepath.Dir(archive), ".layer-")
	if err != nil {
		return "", err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	sum := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, sum), root); err != nil {
		return "", fmt.Errorf("pack %s: %w", root, err)
	}
	config, err := json.Marshal(description{
		Architecture: runtime.GOARCH, OS: "linux", Config: spec,
		RootFS: map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum.Sum(nil))}},
	})
	if err != nil {
		return "", err
	}
	id := sha256.Sum256(config)
	const short = 12
	image = name + ":" + hex.EncodeToString(id[:])[:short]
	return image, writeArchive(archive, image, config, layer)
}

// readDockerfile takes the few instructions that pack can carry out.
func readDockerfile(text string) (containerSpec, error) {
	var spec containerSpec
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "", strings.HasPrefix(line, "#"), line == "FROM scratch", line == "COPY root/ /", word == "EXPOSE":
		case word == "USER":
			spec.User = rest
		case word == "ENV":
			spec.Env = append(spec.Env, strings.Fields(rest)...)
		case word == "ENTRYPOINT":
			if err := json.Unmarshal([]byte(rest), &spec.Entrypoint); err != nil {
				return spec, fmt.Errorf("%s: %w", line, err)
			}
		default:
			return spec, errors.New(line + ": this cannot be done without Docker")
		}
	}
	return spec, nil
}

// writeLayer writes the files below root, in order, as root's.
func writeLayer(w io.Writer, root string) error {
	layer := tar.NewWriter(w)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if header.Name = filepath.ToSlash(name); entry.IsDir() {
			header.Name += "/"
		}
		header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
		if err := layer.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		return copyFile(layer, path)
	})
	return errors.Join(err, layer.Close())
}

func copyFile(w io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}

// writeArchive puts layer and configuration together.
func writeArchive(path, image string, config []byte, layer *os.File) error {
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	size, err := layer.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = layer.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	for _, part := range []struct {
		name string
		size int64
		from io.Reader
	}{
		{"manifest.json", int64(len(manifest)), strings.NewReader(string(manifest))},
		{"config.json", int64(len(config)), strings.NewReader(string(config))},
		{"layer.tar", size, layer},
	} {
		if err := archive.WriteHeader(&tar.Header{Name: part.name, Mode: 0o644, Size: part.size}); err != nil {
			return err
		}
		if _, err := io.Copy(archive, part.from); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), file.Close())
}
