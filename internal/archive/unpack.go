package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Unpack reads a gzipped tar archive into dir, which must not exist: it is
// renamed into place when all is well, and nothing is left when not. Files are
// readable by all, folders 0755. The error is a *Refusal when the archive is at
// fault, else r's or the file system's.
func Unpack(ctx context.Context, r io.Reader, dir string, l Limits) (s Summary, err error) {
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-")
	if err != nil {
		return Summary{}, fmt.Errorf("unpack an archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	root, err := os.OpenRoot(temp)
	if err != nil {
		return Summary{}, fmt.Errorf("unpack an archive: %w", err)
	}
	defer func() { _ = root.Close() }()
	s, err = read(ctx, r, l, &disk{root})
	if err != nil {
		return Summary{}, err
	}
	if err := os.Chmod(temp, 0o755); err != nil { //nolint:gosec // runners of another user read it
		return Summary{}, fmt.Errorf("unpack an archive: %w", err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return Summary{}, fmt.Errorf("unpack an archive: %w", err)
	}
	return s, nil
}

// Check applies the rules of Unpack and writes nothing.
func Check(ctx context.Context, r io.Reader, l Limits) (Summary, error) {
	return read(ctx, r, l, nowhere{})
}

// place is where entries go.
type place interface {
	dir(name string) error
	file(name string, executable bool, r io.Reader) (int64, error)
	symlink(target, name string) error
	link(old, name string) error
}

// reader applies the rules to one archive.
type reader struct {
	to      place
	limits  Limits
	tree    *tree
	sum     Summary
	entries int
}

func read(ctx context.Context, r io.Reader, l Limits, to place) (Summary, error) {
	packed := &counted{r: r, most: l.PackedBytes, hash: sha256.New(), what: "packed"}
	gz, err := gzip.NewReader(bufio.NewReader(packed))
	if err != nil {
		return Summary{}, packed.cause(refuse("", "is not gzip: send a .tgz, as tar czf makes it"), err)
	}
	// Headers and padding count too: an archive of nothing but headers is a bomb as well.
	unpacked := &counted{r: gz, most: headroom(l), what: "unpacked"}
	a := &reader{to: to, limits: l, tree: newTree()}
	if err := a.all(ctx, tar.NewReader(unpacked)); err != nil {
		return Summary{}, firstCause(err, packed, unpacked)
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return Summary{}, firstCause(damaged(err), packed, unpacked)
	}
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return Summary{}, packed.cause(nil, err)
	}
	if refusal := a.tree.checkLinks(); refusal != nil {
		return Summary{}, refusal
	}
	if a.sum.Files == 0 {
		return Summary{}, refuse("", "holds no file")
	}
	a.sum.Top = a.tree.top()
	a.sum.PackedBytes, a.sum.SHA256 = packed.n, hex.EncodeToString(packed.hash.Sum(nil))
	return a.sum, nil
}

// headroom is the limit of the tar stream: the files, and a header and padding for each entry.
func headroom(l Limits) int64 {
	const perEntry = 8 << 10
	if l.UnpackedBytes == 0 {
		return 0
	}
	return l.UnpackedBytes + int64(l.Entries+16)*perEntry
}

func (a *reader) all(ctx context.Context, t *tar.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
		if err := a.one(h, t); err != nil {
			return err
		}
	}
}

func (a *reader) one(h *tar.Header, t *tar.Reader) error {
	if a.entries++; a.limits.Entries > 0 && a.entries > a.limits.Entries {
		return refuse("", "has more than %d entries", a.limits.Entries)
	}
	at, refusal := cleanName(h.Name)
	if refusal != nil {
		return refusal
	}
	if h.Mode&0o7000 != 0 {
		a.sum.Dropped++
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return a.directory(h, at)
	case tar.TypeReg, tar.TypeGNUSparse:
		return a.regular(h, at, t)
	case tar.TypeSymlink:
		return a.symlink(h, at)
	case tar.TypeLink:
		return a.hardlink(h, at)
	case tar.TypeXGlobalHeader:
		a.entries--
		return nil
	case tar.TypeChar, tar.TypeBlock:
		return refuse(h.Name, "is a device")
	case tar.TypeFifo:
		return refuse(h.Name, "is a FIFO")
	}
	return refuse(h.Name, "is of a kind that is not supported: only files, folders and links are")
}

func (a *reader) directory(h *tar.Header, at string) error {
	if refusal := a.tree.add(at, node{kind: kindDir, entry: h.Name}); refusal != nil {
		return refusal
	}
	if at == "." {
		return nil
	}
	a.sum.Dirs++
	return a.to.dir(at)
}

func (a *reader) regular(h *tar.Header, at string, t *tar.Reader) error {
	if refusal := a.tree.add(at, node{kind: kindFile, entry: h.Name}); refusal != nil {
		return refusal
	}
	if a.limits.UnpackedBytes > 0 && h.Size > a.limits.UnpackedBytes-a.sum.UnpackedBytes {
		return refuse(h.Name, "makes more than %d bytes unpacked", a.limits.UnpackedBytes)
	}
	n, err := a.to.file(at, h.Mode&0o111 != 0, t)
	if err != nil {
		return damaged(err)
	}
	a.sum.Files++
	a.sum.UnpackedBytes += n
	return nil
}

func (a *reader) symlink(h *tar.Header, at string) error {
	to, refusal := linkTarget(h.Name, at, h.Linkname)
	if refusal != nil {
		return refusal
	}
	_ = to // checked again through other links at the end, when all of them are known
	if refusal := a.tree.add(at, node{kind: kindLink, entry: h.Name, target: h.Linkname}); refusal != nil {
		return refusal
	}
	a.sum.Links++
	return a.to.symlink(h.Linkname, at)
}

// hardlink makes a second name of a file that came before; its source must be that file itself.
func (a *reader) hardlink(h *tar.Header, at string) error {
	old, refusal := cleanName(h.Linkname)
	if refusal != nil {
		return refuse(h.Name, "is a hard link that leads out of the folder")
	}
	if n, ok := a.tree.nodes[old]; !ok || n.kind != kindFile {
		return refuse(h.Name, "is a hard link to %q, which is no file that came before it", old)
	}
	if refusal := a.tree.add(at, node{kind: kindFile, entry: h.Name}); refusal != nil {
		return refusal
	}
	a.sum.Links++
	return a.to.link(old, at)
}

// damaged turns what the decoders say of the archive into a refusal.
func damaged(err error) error {
	var path *fs.PathError
	var refusal *Refusal
	var over *overLimit
	if errors.As(err, &path) || errors.As(err, &refusal) || errors.As(err, &over) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return refuse("", "is cut off: send it again")
	}
	return refuse("", "is damaged or no tar archive: %v", err)
}

// disk is a folder that entries cannot leave, whatever links there are.
type disk struct{ root *os.Root }

func (d *disk) dir(name string) error { return d.root.MkdirAll(name, 0o755) }

func (d *disk) file(name string, executable bool, r io.Reader) (int64, error) {
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return 0, err
	}
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, r)
	return n, errors.Join(err, f.Chmod(mode), f.Close())
}

func (d *disk) symlink(target, name string) error {
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return d.root.Symlink(target, name)
}

func (d *disk) link(old, name string) error {
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return d.root.Link(old, name)
}

// nowhere takes entries and keeps nothing.
type nowhere struct{}

func (nowhere) dir(string) error                                  { return nil }
func (nowhere) file(_ string, _ bool, r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }
func (nowhere) symlink(string, string) error                      { return nil }
func (nowhere) link(string, string) error                         { return nil }

// counted counts what is read, and refuses more than the limit.
type counted struct {
	r    io.Reader
	n    int64
	most int64 // 0: unbounded
	hash hash.Hash
	what string
	err  error // r's own, other than its end
}

// overLimit says that a stream is longer than allowed.
type overLimit struct {
	what string
	most int64
}

func (o *overLimit) Error() string { return fmt.Sprintf("more than %d bytes %s", o.most, o.what) }

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.hash != nil {
		_, _ = c.hash.Write(p[:n])
	}
	if c.most > 0 && c.n > c.most {
		return 0, &overLimit{c.what, c.most}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// cause is the reader's own failure where there was one, a refusal where it was
// too long, else otherwise or err.
func (c *counted) cause(otherwise *Refusal, err error) error {
	var over *overLimit
	switch {
	case errors.As(err, &over):
		return refuse("", "has more than %d bytes %s", over.most, over.what)
	case c.err != nil:
		return fmt.Errorf("read the archive: %w", c.err)
	case otherwise != nil:
		return otherwise
	}
	return err
}

// firstCause prefers the failure of what was read to what the decoders made of it.
func firstCause(err error, packed, unpacked *counted) error {
	var refusal *Refusal
	if packed.err != nil {
		return packed.cause(nil, err)
	}
	if errors.As(err, &refusal) {
		return err
	}
	return unpacked.cause(nil, err)
}
