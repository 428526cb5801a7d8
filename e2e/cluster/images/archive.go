package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
)

// Image is a name for layers, the lowest first, with what a container of them runs unless it is told.
type Image struct {
	// Ref is the name, with a registry and a tag.
	Ref    string
	Layers []Layer
	Run    Run
}

// Run is how a container runs, in the image format's own terms.
type Run struct {
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	User         string              `json:"User,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
}

// Write writes the images as one archive, in the format of `docker save`. Layers that images share are in it once.
func Write(into io.Writer, images ...Image) error {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	out := tar.NewWriter(into)
	var index []entry
	written := map[string]bool{}
	for _, image := range images {
		config, err := image.config()
		if err != nil {
			return fmt.Errorf("write image %s: %w", image.Ref, err)
		}
		sum := sha256.Sum256(config)
		listed := entry{Config: hex.EncodeToString(sum[:]) + ".json", RepoTags: []string{image.Ref}}
		if err := writeText(out, listed.Config, config); err != nil {
			return fmt.Errorf("write image %s: %w", image.Ref, err)
		}
		for _, layer := range image.Layers {
			name := layer.digest + ".tar"
			listed.Layers = append(listed.Layers, name)
			if written[name] {
				continue
			}
			written[name] = true
			if err := writeLayer(out, name, layer); err != nil {
				return fmt.Errorf("write image %s: %w", image.Ref, err)
			}
		}
		index = append(index, listed)
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := writeText(out, "manifest.json", text); err != nil {
		return err
	}
	return out.Close()
}

func (i Image) config() ([]byte, error) {
	var diffs []string
	for _, layer := range i.Layers {
		diffs = append(diffs, "sha256:"+layer.digest)
	}
	return json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": i.Run,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
}

func writeText(out *tar.Writer, name string, text []byte) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := out.Write(text)
	return err
}

func writeLayer(out *tar.Writer, name string, layer Layer) error {
	file, err := os.Open(layer.path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(out, file)
	return err
}
