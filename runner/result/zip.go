package result

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zip"
	"golang.org/x/sys/unix"
)

const (
	tinyBytes    = 256       // files up to this size are stored as they are
	wholeBytes   = 64 << 10  // up to this size, files are compressed in memory, so that the header has the sizes
	sampleBytes  = 16 << 10  // of a larger file, compressed to decide whether the file is compressed
	worthPercent = 95        // of its size: a file that stays larger is not compressed
	copyBytes    = 128 << 10 // the size of a copy's buffer
	level        = 1         // fastest: results are zipped while a caller waits
	maxStored    = 1<<32 - 1 // a header without descriptor has sizes below this
)

// Zipper writes zips. Its methods may be called concurrently.
type Zipper struct {
	compressors sync.Pool
	buffers     sync.Pool
}

// NewZipper returns a Zipper.
func NewZipper() *Zipper {
	z := &Zipper{}
	z.buffers.New = func() any { return new([copyBytes]byte) }
	return z
}

// Zip writes the files as a zip to w. It returns an *Error if a file cannot be read or has changed since Collect; the
// zip in w is then incomplete.
func (z *Zipper) Zip(w io.Writer, root *os.Root, files []File) error {
	out := z.archive(w)
	names := make(map[string]string, len(files))
	for i := range files {
		f := &files[i]
		name := EntryName(f.Path)
		if other, taken := names[name]; taken {
			return missing("results: %q and %q have one name in a zip, %q; rename one", other, f.Path, name)
		}
		names[name] = f.Path
		if err := z.file(out, root, f, name); err != nil {
			return err
		}
	}
	return finish(out)
}

// Stream writes a zip with one entry of size bytes to w, for a command's output.
func (z *Zipper) Stream(w io.Writer, name string, size int64, at time.Time, from io.Reader) error {
	out := z.archive(w)
	f := &File{Path: name, Size: size, ModTime: at, Mode: 0o644}
	if err := z.entry(out, f, name, from, nil); err != nil {
		return err
	}
	return finish(out)
}

func (z *Zipper) archive(w io.Writer) *zip.Writer {
	out := zip.NewWriter(w)
	out.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return z.compressor(w), nil })
	return out
}

func finish(out *zip.Writer) error {
	if err := out.Close(); err != nil {
		return fmt.Errorf("write zip: %w", err)
	}
	return nil
}

// Open opens a file. It returns an *Error if the file has changed since Collect or cannot be opened.
func Open(root *os.Root, f *File) (*os.File, error) {
	file, err := root.OpenFile(f.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, missing("results: open %q: %v", clip(f.Path), err)
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
		_ = file.Close()
		return nil, changed(f)
	}
	return file, nil
}

func changed(f *File) *Error {
	return missing("results: %q changed while it was read; end what writes it before the command ends", clip(f.Path))
}

func (z *Zipper) file(out *zip.Writer, root *os.Root, f *File, name string) error {
	file, err := Open(root, f)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return z.entry(out, f, name, file, file)
}

// entry writes one file and chooses the method by its size and content. at, if not nil, reads the same bytes as from.
func (z *Zipper) entry(out *zip.Writer, f *File, name string, from io.Reader, at io.ReaderAt) error {
	header := &zip.FileHeader{Name: name, Modified: f.ModTime.UTC()}
	header.SetMode(f.Mode & fs.ModePerm)
	if f.Size <= wholeBytes {
		return z.small(out, f, header, from)
	}
	buf, _ := z.buffers.Get().(*[copyBytes]byte)
	defer z.buffers.Put(buf)
	n, err := io.ReadFull(from, buf[:])
	if err != nil && err != io.ErrUnexpectedEOF { //nolint:errorlint // returned bare
		return changed(f)
	}
	rest := &exactly{head: buf[:n], from: from, left: f.Size, file: f}
	header.Method = zip.Deflate
	if isCompressed(name) || !z.worth(buf[:min(n, sampleBytes)]) {
		header.Method = zip.Store
		if at != nil && f.Size < maxStored {
			return z.stored(out, f, header, rest, at)
		}
	}
	w, err := out.CreateHeader(header)
	if err != nil {
		return fmt.Errorf("write zip: %w", err)
	}
	return z.copy(w, rest)
}

// small writes a file that fits in memory. The sizes are in its header.
func (z *Zipper) small(out *zip.Writer, f *File, header *zip.FileHeader, from io.Reader) error {
	content := make([]byte, f.Size+1)
	n, err := io.ReadFull(from, content)
	if int64(n) != f.Size || err != io.ErrUnexpectedEOF && err != io.EOF { //nolint:errorlint // returned bare
		return changed(f)
	}
	content = content[:n]
	header.CRC32 = crc32.ChecksumIEEE(content)
	header.UncompressedSize64 = uint64(n) //nolint:gosec // not negative
	if n > tinyBytes && !isCompressed(header.Name) {
		if packed := z.deflate(content); len(packed) < n*worthPercent/100 {
			header.Method, content = zip.Deflate, packed
		}
	}
	header.CompressedSize64 = uint64(len(content))
	w, err := raw(out, header)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("write zip: %w", err)
	}
	return nil
}

// stored writes a file uncompressed, with sum and size in its header, because an unpacker of a stream needs the size to
// find the end. It reads the file twice, and fails if the two differ.
func (z *Zipper) stored(out *zip.Writer, f *File, header *zip.FileHeader, first *exactly, at io.ReaderAt) error {
	sum := crc32.NewIEEE()
	if err := z.copy(sum, first); err != nil {
		return err
	}
	header.CRC32 = sum.Sum32()
	header.UncompressedSize64 = uint64(f.Size) //nolint:gosec // not negative
	header.CompressedSize64 = header.UncompressedSize64
	w, err := raw(out, header)
	if err != nil {
		return err
	}
	again := crc32.NewIEEE()
	second := &exactly{from: io.NewSectionReader(at, 0, f.Size+1), left: f.Size, file: f}
	if err := z.copy(io.MultiWriter(w, again), second); err != nil {
		return err
	}
	if again.Sum32() != header.CRC32 {
		return changed(f)
	}
	return nil
}

// raw begins an entry whose sum and sizes are known.
func raw(out *zip.Writer, header *zip.FileHeader) (io.Writer, error) {
	if !isASCII(header.Name) {
		header.Flags |= 0x800 // the name is UTF-8
	}
	header.Extra = timeExtra(header)
	w, err := out.CreateRaw(header)
	if err != nil {
		return nil, fmt.Errorf("write zip: %w", err)
	}
	return w, nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// timeExtra sets the time in MS-DOS form and returns the extended timestamp that Unix unpackers read. CreateHeader adds
// this timestamp, CreateRaw does not.
func timeExtra(h *zip.FileHeader) []byte {
	h.CreatorVersion = h.CreatorVersion&0xff00 | 20
	h.ReaderVersion = 20
	t := h.Modified
	day := t.Day() + int(t.Month())<<5 + (min(max(t.Year(), 1980), 2107)-1980)<<9
	h.ModifiedDate = uint16(day)                                         //nolint:gosec,staticcheck // as wide as the format has it
	h.ModifiedTime = uint16(t.Second()/2 + t.Minute()<<5 + t.Hour()<<11) //nolint:gosec,staticcheck // as above
	extra := []byte{0x55, 0x54, 5, 0, 1}
	return binary.LittleEndian.AppendUint32(extra, uint32(t.Unix())) //nolint:gosec // as above
}

func (z *Zipper) copy(w io.Writer, from io.Reader) error {
	buf, _ := z.buffers.Get().(*[copyBytes]byte)
	defer z.buffers.Put(buf)
	for {
		n, err := from.Read(buf[:])
		if _, err := w.Write(buf[:n]); err != nil {
			return fmt.Errorf("write zip: %w", err)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// exactly reads head and then from. It fails unless they have as many bytes together as the file had in Collect.
type exactly struct {
	head []byte
	from io.Reader
	left int64
	file *File
}

// Read implements io.Reader.
func (e *exactly) Read(p []byte) (int, error) {
	var n int
	var err error
	if len(e.head) > 0 {
		n = copy(p, e.head)
		e.head = e.head[n:]
	} else {
		n, err = e.from.Read(p)
	}
	e.left -= int64(n)
	switch {
	case e.left < 0, err != nil && e.left > 0, err != nil && err != io.EOF:
		return 0, changed(e.file)
	}
	return n, err
}

// worth reports whether a sample of a file shrinks enough to compress the file.
func (z *Zipper) worth(sample []byte) bool {
	return len(z.deflate(sample)) < len(sample)*worthPercent/100
}

func (z *Zipper) deflate(b []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(b)/2 + 64)
	c := z.compressor(&out)
	_, _ = c.Write(b) // a bytes.Buffer returns no error
	_ = c.Close()
	return out.Bytes()
}

// compressor returns a compressor, which Close puts back into the pool.
func (z *Zipper) compressor(w io.Writer) io.WriteCloser {
	if c, ok := z.compressors.Get().(*compressor); ok {
		c.Reset(w)
		return c
	}
	c, _ := flate.NewWriter(w, level) // the level is valid, so there is no error
	return &compressor{Writer: c, pool: &z.compressors}
}

type compressor struct {
	*flate.Writer
	pool *sync.Pool
}

// Close implements io.Closer.
func (c *compressor) Close() error {
	err := c.Writer.Close()
	c.pool.Put(c)
	return err
}

// isCompressed reports whether a file's name has the extension of a compressed format.
func isCompressed(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".7z", ".avi", ".avif", ".br", ".bz2", ".docx", ".epub", ".flac", ".gif", ".gz", ".heic", ".jar", ".jpeg", ".jpg",
		".lz4", ".m4a", ".m4v", ".mkv", ".mov", ".mp3", ".mp4", ".mpeg", ".mpg", ".odt", ".ogg", ".opus", ".parquet", ".png", ".pptx",
		".rar", ".tgz", ".webm", ".webp", ".whl", ".woff", ".woff2", ".xlsx", ".xz", ".zip", ".zst":
		return true
	}
	return false
}
