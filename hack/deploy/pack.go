package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pack writes the image that the Dockerfile describes, with the files below root as its only layer, to an archive in
// the format of `docker save`. It returns the image's name with a tag made of its digest: the same files give the same
// tag. It needs no Docker, because the Dockerfile only copies files onto nothing.
func pack(dockerfile, root, repository, archive string) (image string, err error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return "", err
	}
	config, err := readDockerfile(string(text))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", dockerfile, err)
	}
	var layer bytes.Buffer
	if err := writeLayer(&layer, root); err != nil {
		return "", fmt.Errorf("pack %s: %w", root, err)
	}
	packed, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Architecture: runtime.GOARCH, OS: "linux", Config: config, RootFS: v1.RootFS{Type: "layers"}})
	if err == nil {
		packed, err = mutate.AppendLayers(packed, static.NewLayer(layer.Bytes(), types.DockerUncompressedLayer))
	}
	if err != nil {
		return "", fmt.Errorf("describe the image: %w", err)
	}
	id, err := packed.ConfigName()
	if err != nil {
		return "", fmt.Errorf("describe the image: %w", err)
	}
	const short = 12
	tag, err := name.NewTag(repository + ":" + id.Hex[:short])
	if err != nil {
		return "", err
	}
	return tag.String(), tarball.WriteToFile(archive, tag, packed)
}

// readDockerfile reads the few instructions that pack can carry out, and refuses all others.
func readDockerfile(text string) (v1.Config, error) {
	var spec v1.Config
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

// writeLayer writes a tar of the files below root, in lexical order and owned by root.
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
