package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// TempPrefix is the prefix of the names of the temporary folders that Unpack creates in the parent of dir. A killed
// process leaves its temporary folder.
const TempPrefix = ".unpack-"

// Unpack unpacks a gzipped tar archive into dir. dir must not exist; its parent must. Unpack writes into a temporary
// folder, syncs it and renames it to dir; after an error it removes the temporary folder. Files keep their times; all
// users may read them, and execute them if the archive lets any user execute them; folders have mode 0755. Unpack reads
// r to its end. The error is a *Refusal if the archive is bad, wraps fs.ErrExist if dir exists, and is otherwise an
// error of ctx, r or the file system.
func Unpack(ctx context.Context, r io.Reader, dir string, l Limits) (Summary, error) {
	return unpack(ctx, r, dir, l, syncFileSystem)
}

func unpack(
	ctx context.Context, r io.Reader, dir string, l Limits, flush func(*os.Root) error,
) (s Summary, err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "unpack", Path: dir, Err: fs.ErrExist}
		}
		return Summary{}, wrap(err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), TempPrefix)
	if err != nil {
		return Summary{}, wrap(err)
	}
	defer func() {
		if err != nil {
			s, err = Summary{}, errors.Join(err, os.RemoveAll(temp))
		}
	}()
	root, err := os.OpenRoot(temp)
	if err != nil {
		return Summary{}, wrap(err)
	}
	defer func() { _ = root.Close() }()
	s, err = read(ctx, r, l, &disk{root: root, buffer: make([]byte, copyBytes)})
	if err != nil {
		return Summary{}, err
	}
	if err := errors.Join(root.Chmod(".", 0o755), flush(root)); err != nil {
		return Summary{}, wrap(err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return Summary{}, wrap(err)
	}
	return s, nil
}

// syncFileSystem syncs the whole file system, because syncing a hundred thousand files one by one takes minutes.
func syncFileSystem(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

// Check applies the rules of Unpack and writes nothing.
func Check(ctx context.Context, r io.Reader, l Limits) (Summary, error) {
	return read(ctx, r, l, discard{buffer: make([]byte, copyBytes)})
}

func read(ctx context.Context, r io.Reader, l Limits, to destination) (Summary, error) {
	a := &reader{ctx: ctx, to: to, limits: l, tree: newTree()}
	packed := &limitReader{ctx: ctx, r: r, most: l.PackedBytes, hash: sha256.New(), state: "packed"}
	err := a.archive(packed)
	var refusal *Refusal
	switch {
	case ctx.Err() != nil:
		return Summary{}, wrap(ctx.Err())
	case packed.err != nil && !errors.As(packed.err, &refusal):
		return Summary{}, fmt.Errorf("read the archive: %w", packed.err)
	case packed.err != nil:
		return Summary{}, packed.err
	case errors.As(err, &refusal):
		return Summary{}, err
	case err != nil:
		return Summary{}, wrap(err)
	}
	a.sum.Top = a.tree.top()
	a.sum.PackedBytes, a.sum.SHA256 = packed.n, hex.EncodeToString(packed.hash.Sum(nil))
	return a.sum, nil
}

// reader applies the rules to one archive.
type reader struct {
	ctx       context.Context
	to        destination
	limits    Limits
	tree      *tree
	sum       Summary
	entries   int
	nameBytes int
}

// maxNameBytes is how many bytes all names and link targets of an archive may have together. It exists because they are
// kept in memory.
const maxNameBytes = 64 << 20

// archive reads the whole archive, and creates the symbolic links last.
func (a *reader) archive(packed io.Reader) error {
	gz, err := decompress(packed)
	if err != nil {
		return err
	}
	// The limit counts headers too, because an archive of headers alone can be a decompression bomb.
	stream := &limitReader{ctx: a.ctx, r: gz, most: streamLimit(a.limits), state: "unpacked"}
	t := tar.NewReader(stream)
	for {
		h, err := t.Next()
		if isEnd(err) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // cleanName checks the path
			return damaged(err)
		}
		if err := a.entry(h, t); err != nil {
			return err
		}
	}
	if err := expectZeros(stream, make([]byte, 32<<10)); err != nil {
		return err
	}
	if a.sum.Files == 0 {
		return refuse("", "contains no file")
	}
	return a.symlinks()
}

// streamLimit returns the limit of the tar stream: the files, and headers and padding for each entry.
func streamLimit(l Limits) int64 {
	const perEntry, blocking = 4 << 10, 1 << 20
	if l.UnpackedBytes <= 0 || l.Entries <= 0 {
		return 0
	}
	return l.UnpackedBytes + int64(l.Entries)*perEntry + blocking
}

func (a *reader) entry(h *tar.Header, t *tar.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader { // describes the other entries, like the commit that git writes
		return a.count(1)
	}
	at, refusal := cleanName(h.Name)
	if refusal != nil {
		return refusal
	}
	if a.nameBytes += len(h.Name) + len(h.Linkname); a.nameBytes > maxNameBytes {
		return refuse("", "has names of more than %d bytes together", maxNameBytes)
	}
	if h.Mode&0o7000 != 0 {
		a.sum.Dropped++
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return a.add(h, at, &node{kind: kindDir})
	case tar.TypeReg, tar.TypeGNUSparse:
		return a.regular(h, at, t)
	case tar.TypeSymlink:
		return a.symlink(h, at)
	case tar.TypeLink:
		return a.hardLink(h, at)
	case tar.TypeChar, tar.TypeBlock:
		return refuse(h.Name, "is a device: only files, folders and links can be sent")
	case tar.TypeFifo:
		return refuse(h.Name, "is a FIFO: only files, folders and links can be sent")
	}
	return refuse(h.Name, "is of the kind %q: only files, folders and links can be sent", h.Typeflag)
}

// add adds an entry to the tree and creates the folders that it needs.
func (a *reader) add(h *tar.Header, at string, n *node) error {
	made, refusal := a.tree.add(h.Name, at, n)
	if refusal != nil {
		return refusal
	}
	own := 1
	if n.kind == kindDir && len(made) > 0 {
		own = 0 // made contains the entry itself
	}
	if err := a.count(own + len(made)); err != nil {
		return err
	}
	a.sum.Dirs += len(made)
	for _, dir := range made {
		if err := a.to.dir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (a *reader) count(entries int) error {
	if a.entries += entries; a.limits.Entries > 0 && a.entries > a.limits.Entries {
		return refuse("", "has more than %d entries, which is the limit", a.limits.Entries)
	}
	return nil
}

// grow counts bytes before they are written, so that a size in a header alone is refused too.
func (a *reader) grow(h *tar.Header, bytes int64) error {
	if most := a.limits.UnpackedBytes; most > 0 && bytes > most-a.sum.UnpackedBytes {
		return refuse(h.Name, "makes the archive larger than %d bytes unpacked, which is the limit", most)
	}
	a.sum.UnpackedBytes += bytes
	return nil
}

func (a *reader) regular(h *tar.Header, at string, t *tar.Reader) error {
	if h.Name[len(h.Name)-1] == '/' {
		return refuse(h.Name, "is a file with the name of a folder")
	}
	if err := a.grow(h, h.Size); err != nil {
		return err
	}
	if err := a.add(h, at, &node{kind: kindFile, size: h.Size, names: 1}); err != nil {
		return err
	}
	a.sum.Files++
	content := cancelable{a.ctx, t} // because the zeros of a sparse file need no read from packed, which checks ctx too
	head := &fileHeader{size: h.Size, executable: h.Mode&0o111 != 0, modified: modTime(h.ModTime)}
	if err := a.to.file(at, head, content); err != nil {
		return damaged(err)
	}
	return nil
}

func (a *reader) symlink(h *tar.Header, at string) error {
	if refusal := checkTarget(h.Name, h.Linkname); refusal != nil {
		return refusal
	}
	a.sum.Links++
	a.tree.links = append(a.tree.links, symlink{h.Name, at, h.Linkname})
	return a.add(h, at, &node{kind: kindLink, target: h.Linkname})
}

// hardLink creates a further name of a file that came earlier in the archive.
func (a *reader) hardLink(h *tar.Header, at string) error {
	old, file, refusal := a.tree.file(h.Name, h.Linkname)
	if refusal != nil {
		return refusal
	}
	if err := a.grow(h, file.size); err != nil {
		return err
	}
	if err := a.add(h, at, file); err != nil {
		return err
	}
	a.sum.Links++
	return a.to.link(old, at)
}

// symlinks checks all symbolic links and then creates them.
func (a *reader) symlinks() error {
	if refusal := a.tree.checkLinks(); refusal != nil {
		return refusal
	}
	for _, link := range a.tree.links {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err := a.to.symlink(link.target, link.at); err != nil {
			return err
		}
	}
	return nil
}
