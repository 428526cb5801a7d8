// Package images makes the images that a cluster runs from Debian packages and compiled programs, without a registry.
// Layers are cached by version; images are written as an archive that containerd and Docker can import.
//
// Start at [Cache.Layer] and [Write].
package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"davit/e2e/cluster/stage"
)

// Layer is a tar of files.
type Layer struct {
	path   string
	digest string
}

// Path returns the path of the tar.
func (l Layer) Path() string { return l.path }

// Cache is a folder with one folder NAME@VERSION for each layer.
type Cache struct {
	root string
	log  *stage.Log
}

// NewCache returns a cache in the folder root, which logs the layers it makes.
func NewCache(root string, log *stage.Log) *Cache {
	return &Cache{root: root, log: log}
}

// Make writes a layer's tar.
type Make func(ctx context.Context, into io.Writer, report func(string)) error

// Layer returns the layer of that name and version from the cache, or makes it. If that is interrupted, the cache does
// not have the layer.
func (c *Cache) Layer(ctx context.Context, name, version string, do Make) (Layer, error) {
	dir := filepath.Join(c.root, name+"@"+version)
	if layer, err := readLayer(dir); err == nil {
		return layer, nil
	}
	err := c.log.Run("make image "+name+" "+version, func(report func(string)) error {
		return makeLayer(ctx, dir, report, do)
	})
	if err != nil {
		return Layer{}, err
	}
	return readLayer(dir)
}

// A layer is complete if it has a digest file, which is renamed into its folder last.
const (
	tarFile    = "layer.tar"
	digestFile = "digest"
)

func readLayer(dir string) (Layer, error) {
	digest, err := os.ReadFile(filepath.Join(dir, digestFile))
	return Layer{path: filepath.Join(dir, tarFile), digest: string(digest)}, err
}

func makeLayer(ctx context.Context, dir string, report func(string), do Make) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // images are no secret
		return err
	}
	file, err := os.Create(filepath.Join(dir, tarFile+".making"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(file.Name())) }()
	defer file.Close()
	sum := sha256.New()
	if err := do(ctx, io.MultiWriter(file, sum), report); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), filepath.Join(dir, tarFile)); err != nil {
		return err
	}
	digest := filepath.Join(dir, digestFile)
	if err := os.WriteFile(digest+".making", []byte(hex.EncodeToString(sum.Sum(nil))), 0o644); err != nil { //nolint:gosec // as above
		return err
	}
	return os.Rename(digest+".making", digest)
}

// File is one file of a layer: a symbolic link if Link is set, a copy of the file Source if that is set, else a file
// with Text. A name that ends in a slash is a folder.
type File struct {
	Name   string
	Mode   int64
	Link   string
	Source string
	Text   string
}

// Files makes a layer of files that root owns.
func Files(files ...File) Make {
	return func(_ context.Context, into io.Writer, _ func(string)) error {
		out := tar.NewWriter(into)
		for _, file := range files {
			if err := file.write(out); err != nil {
				return fmt.Errorf("%s: %w", file.Name, err)
			}
		}
		return out.Close()
	}
}

func (f File) write(out *tar.Writer) error {
	header := &tar.Header{Name: f.Name, Mode: f.Mode, Format: tar.FormatPAX}
	var content io.Reader = strings.NewReader(f.Text)
	switch {
	case strings.HasSuffix(f.Name, "/"):
		header.Typeflag = tar.TypeDir
	case f.Link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, f.Link
	case f.Source != "":
		source, err := os.ReadFile(f.Source)
		if err != nil {
			return err
		}
		header.Typeflag, header.Size, content = tar.TypeReg, int64(len(source)), bytes.NewReader(source)
	default:
		header.Typeflag, header.Size = tar.TypeReg, int64(len(f.Text))
	}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(out, content)
	return err
}
