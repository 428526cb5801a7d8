package archive

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Pack writes the files, folders and symbolic links in dir to w as a gzipped tar archive. Equal folders give equal
// bytes: names are sorted; times, owners and all modes but "executable" are left out, and each hard link becomes a
// separate file. Anything else in the folder is an error.
func Pack(ctx context.Context, dir string, w io.Writer) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("pack %q: %w", dir, err)
	}
	defer func() { _ = root.Close() }()
	gz := gzip.NewWriter(w)
	t := tar.NewWriter(gz)
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || name == "." {
			return err
		}
		return packOne(ctx, t, root, name, e)
	})
	if err = errors.Join(err, t.Close(), gz.Close()); err != nil {
		return fmt.Errorf("pack %q: %w", dir, err)
	}
	return nil
}

func packOne(ctx context.Context, t *tar.Writer, root *os.Root, name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if info.Mode()&0o111 != 0 {
		h.Mode = 0o755
	}
	switch {
	case e.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return t.WriteHeader(h)
	case info.Mode().IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		return packFile(ctx, t, root, h)
	case info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = root.Readlink(name); err != nil {
			return err
		}
		return t.WriteHeader(h)
	}
	return fmt.Errorf("%q is neither a file nor a folder nor a link", name)
}

func packFile(ctx context.Context, t *tar.Writer, root *os.Root, h *tar.Header) error {
	f, err := root.Open(h.Name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, cancelable{ctx, f}) // if the file's size changes meanwhile, the tar.Writer returns an error
	return err
}
