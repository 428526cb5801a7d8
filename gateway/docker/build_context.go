package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"davit/internal/archive"
)

// contextFile is the name of the Dockerfile in a build context.
const contextFile = "Dockerfile"

// pack writes a build context, which is what the daemon builds.
type pack func(ctx context.Context, t *tar.Writer) error

// packing streams what p writes. The caller must close the reader; wait then returns the error of p, if it was not the
// early close.
func packing(ctx context.Context, p pack) (r *io.PipeReader, wait func() error) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		t := tar.NewWriter(w)
		err := p(ctx, t)
		if err == nil {
			err = t.Close()
		}
		done <- err
		_ = w.CloseWithError(err) // never fails
	}()
	return r, func() error {
		if err := <-done; err != nil && !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
		return nil
	}
}

// wrapping packs a Dockerfile, the runner, and the source unless it is nil.
func (w *work) wrapping(dockerfile string, source func() io.Reader) pack {
	return func(ctx context.Context, t *tar.Writer) error {
		if err := packText(t, contextFile, dockerfile); err != nil {
			return err
		}
		if err := packRunner(t, w.opts.Runner); err != nil {
			return err
		}
		if source == nil {
			return nil
		}
		_, err := archive.Tar(ctx, source(), t, sourceFolder, nil, w.opts.Limits)
		return err
	}
}

func packText(t *tar.Writer, name, text string) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.WriteString(t, text)
	return err
}

// packRunner packs what the runner needs in an image: its program, and a folder that any user can write to.
func packRunner(t *tar.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the runner: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the runner: %w", err)
	}
	work := &tar.Header{Typeflag: tar.TypeDir, Name: inContext(workPath) + "/", Mode: 0o1777, ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(work); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: inContext(runnerPath), Mode: 0o755, Size: info.Size(), ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// inContext returns the name in the build context of a path in the image.
func inContext(path string) string { return strings.TrimPrefix(path, "/") }
