package docker

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"

	"davit/internal/archive"
	"davit/internal/faas"
)

// ofSource makes the image of a source, and returns the command of the image of its own Dockerfile.
func (w *work) ofSource(ctx context.Context, tag string, source io.Reader) (faas.Command, error) {
	file, err := w.spool(source)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	again := func() io.Reader { return io.NewSectionReader(file, 0, 1<<62) }
	found, held, err := archive.Peek(ctx, again(), maxDockerfile, w.opts.Limits, contextFile, ignoreFile)
	if err != nil {
		return nil, err
	}
	if sum := w.rev.SourceSum; sum != "" && sum != held.SHA256 {
		return nil, faas.Errorf(faas.BuildFailed, "the stored source is not what was uploaded: its checksum is %s instead of %s", held.SHA256, sum)
	}
	w.logf("the source: %d files, %d folders, %d links, together %s", held.Files, held.Dirs, held.Links, faas.Bytes(held.UnpackedBytes))
	over := wrapper{source: true, setup: w.rev.Spec.Setup}
	var command faas.Command
	if found[contextFile] == nil {
		over.base, err = w.base(ctx, &over)
	} else {
		command, err = w.ownBase(ctx, found, again, &over)
	}
	if err != nil {
		return nil, err
	}
	return command, w.wrap(ctx, tag, &over, again)
}

// spool copies the source to a file without a name, which is removed when it is closed.
func (w *work) spool(source io.Reader) (_ *os.File, err error) {
	file, err := os.CreateTemp(w.opts.Dir, "build-")
	if err != nil {
		return nil, faas.Errorf(faas.Unavailable, "the gateway has no room for the source: %v", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("spool the source: %w", err)
	}
	if most := w.opts.Limits.PackedBytes; most > 0 {
		source = io.LimitReader(source, most+1) // one more, so that a larger source is noticed
	}
	if _, err := io.Copy(file, source); err != nil {
		return nil, &faas.Error{Kind: faas.Unavailable, Detail: "the source could not be read from the store; send the function again", Err: err}
	}
	return file, nil
}

// base returns the id of the base image that the spec names.
func (w *work) base(ctx context.Context, over *wrapper) (string, error) {
	name := w.rev.Spec.BaseImage
	if name == "" {
		return "", faas.Errorf(faas.BuildFailed, "there is no image to build on: name one as base_image, or put a Dockerfile into the archive")
	}
	found, err := w.fetch(ctx, name, true)
	if err != nil {
		return "", err
	}
	over.config = configOf(found)
	return found.ID, nil
}

// ownBase builds the source's own Dockerfile. Commands run in its working directory, unless that is "/".
func (w *work) ownBase(ctx context.Context, files map[string][]byte, source func() io.Reader, over *wrapper) (faas.Command, error) {
	if base := w.rev.Spec.BaseImage; base != "" && base != w.opts.BaseImage {
		return nil, faas.Errorf(faas.BuildFailed, "the archive has a Dockerfile, which names what it builds on: leave out base_image, or the Dockerfile")
	}
	names, err := references(files[contextFile])
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := w.fetch(ctx, name, true); err != nil {
			return nil, err
		}
	}
	skip, err := ignored(files[ignoreFile])
	if err != nil {
		return nil, err
	}
	w.logf("building the archive's Dockerfile")
	id, err := w.run(ctx, "", func(ctx context.Context, t *tar.Writer) error {
		_, err := archive.Tar(ctx, source(), t, "", skip, w.opts.Limits)
		return err
	})
	if err != nil {
		return nil, w.stepError("the Dockerfile", err)
	}
	found, err := w.inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := w.fits("the Dockerfile's image", &found); err != nil {
		return nil, err
	}
	over.base, over.config = found.ID, configOf(&found)
	over.keepDir = over.config.WorkingDir != "" && over.config.WorkingDir != "/"
	return over.config.command(), nil
}

// wrap builds the image that functions run in, on top of the base.
func (w *work) wrap(ctx context.Context, tag string, over *wrapper, source func() io.Reader) error {
	text, err := over.text()
	if err != nil {
		return err
	}
	_, err = w.run(ctx, tag, w.wrapping(text, source))
	if err != nil && over.setup != "" {
		return w.stepError("setup", err)
	}
	return err
}
