package images

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is a name for layers, lowest first, and the defaults of its containers.
type Image struct {
	// Ref is the name, with a registry and a tag.
	Ref    string
	Layers []Layer
	Run    Run
}

// Run is what a container runs by default, and how.
type Run = v1.Config

// Write writes the images as one archive in the format of `docker save`. A layer that several images have is in it
// once.
func Write(into io.Writer, images ...Image) error {
	all := map[name.Tag]v1.Image{}
	for _, image := range images {
		tag, err := name.NewTag(image.Ref)
		if err == nil {
			all[tag], err = image.build()
		}
		if err != nil {
			return fmt.Errorf("write image %s: %w", image.Ref, err)
		}
	}
	return tarball.MultiWrite(all, into)
}

func (i Image) build() (v1.Image, error) {
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Architecture: runtime.GOARCH, OS: "linux", Config: i.Run, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, err
	}
	var layers []v1.Layer
	for _, layer := range i.Layers {
		layers = append(layers, uncompressed{layer})
	}
	return mutate.AppendLayers(image, layers...)
}

// uncompressed is a v1.Layer that is stored as it is, because compressing it would take longer than copying it.
type uncompressed struct{ layer Layer }

// Digest returns the checksum of the tar.
func (u uncompressed) Digest() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: u.layer.digest}, nil
}

// DiffID returns the same as Digest.
func (u uncompressed) DiffID() (v1.Hash, error) { return u.Digest() }

// Compressed opens the tar, which is not compressed.
func (u uncompressed) Compressed() (io.ReadCloser, error) { return os.Open(u.layer.path) }

// Uncompressed opens the tar.
func (u uncompressed) Uncompressed() (io.ReadCloser, error) { return os.Open(u.layer.path) }

// Size returns the size of the tar in bytes.
func (u uncompressed) Size() (int64, error) {
	info, err := os.Stat(u.layer.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// MediaType says that the tar is not compressed.
func (u uncompressed) MediaType() (types.MediaType, error) { return types.DockerUncompressedLayer, nil }
