package archive

import (
	"archive/tar"
	"context"
	"io"
	"path"
	"slices"
	"time"
)

// Tar writes the entries that Unpack would create to t, below the folder prefix, "" for the top. root owns all entries,
// their modes are those of Unpack, and symbolic links come last. Tar leaves out the entries for which skip returns
// true; it calls skip for every entry, also below a skipped folder. A nil skip leaves out none. Tar reads r to its end
// and does not close t. After an error the output is incomplete and must be discarded. The errors are those of Unpack,
// or t's.
func Tar(ctx context.Context, r io.Reader, t *tar.Writer, prefix string, skip func(name string) bool, l Limits) (Summary, error) {
	if skip == nil {
		skip = func(string) bool { return false }
	}
	to := &tarball{t: t, prefix: prefix, skip: skip, buffer: make([]byte, copyBytes)}
	if prefix != "" {
		if err := to.folder("."); err != nil {
			return Summary{}, wrap(err)
		}
	}
	return read(ctx, r, l, to)
}

// tarball is the destination of Tar: another tar archive.
type tarball struct {
	t      *tar.Writer
	prefix string
	skip   func(name string) bool
	buffer []byte
}

func (b *tarball) head(kind byte, name string, mode int64) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: path.Join(b.prefix, name), Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

func (b *tarball) dir(name string) error {
	if b.skip(name) {
		return nil
	}
	return b.folder(name)
}

func (b *tarball) folder(name string) error {
	h := b.head(tar.TypeDir, name, 0o755)
	h.Name += "/"
	return asWriteError(b.t.WriteHeader(h))
}

func (b *tarball) file(name string, head *fileHeader, r io.Reader) error {
	if b.skip(name) {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, b.buffer)
		return err
	}
	h := b.head(tar.TypeReg, name, int64(head.mode()))
	h.Size, h.ModTime = head.size, head.modified
	if err := b.t.WriteHeader(h); err != nil {
		return asWriteError(err)
	}
	return copyTo(b.t, r, b.buffer)
}

func (b *tarball) link(old, name string) error {
	if b.skip(name) {
		return nil
	}
	if b.skip(old) {
		return refuse(name, "is a hard link to %s, which is left out", quote(old))
	}
	h := b.head(tar.TypeLink, name, 0o644)
	h.Linkname = path.Join(b.prefix, old)
	return asWriteError(b.t.WriteHeader(h))
}

func (b *tarball) symlink(target, name string) error {
	if b.skip(name) {
		return nil
	}
	h := b.head(tar.TypeSymlink, name, 0o777)
	h.Linkname = target
	return asWriteError(b.t.WriteHeader(h))
}

// Peek is Check that also returns the contents of the regular files with the given names, by name. A name without a
// file has no entry in the result. A file larger than most bytes is a *Refusal.
func Peek(ctx context.Context, r io.Reader, most int64, l Limits, names ...string) (map[string][]byte, Summary, error) {
	to := &peek{discard: discard{buffer: make([]byte, copyBytes)}, names: names, most: most, found: map[string][]byte{}}
	s, err := read(ctx, r, l, to)
	if err != nil {
		return nil, s, err
	}
	return to.found, s, nil
}

// peek is the destination of Peek: it keeps the contents of the files in names and discards all others.
type peek struct {
	discard
	names []string
	most  int64
	found map[string][]byte
}

func (p *peek) file(name string, h *fileHeader, r io.Reader) error {
	if !slices.Contains(p.names, name) {
		return p.discard.file(name, h, r)
	}
	if h.size > p.most {
		return refuse(name, "is larger than %d bytes, which is the limit for it", p.most)
	}
	var err error
	p.found[name], err = io.ReadAll(r)
	return err
}

// copyTo copies r to w. Unlike io.Copy, it marks an error of w as a writeError.
func copyTo(w io.Writer, r io.Reader, buffer []byte) error {
	for {
		n, err := r.Read(buffer)
		if _, err := w.Write(buffer[:n]); err != nil {
			return asWriteError(err)
		}
		if isEnd(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
