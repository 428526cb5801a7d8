package api

import (
	"archive/zip"
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"path"

	"davit/gateway/edge"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/text"
)

// result answers with the zip, or redirects to a signed URL of it.
func (i *invocations) result(r *edge.Request) error {
	q := readQuery(r)
	redirect, ttl := q.flag("redirect"), q.duration("expires", mostLinks)
	if q.err != nil {
		return q.err
	}
	id, err := i.allowed(r)
	if err != nil {
		return err
	}
	info, open, inv, err := i.port.Result(r.Context(), id)
	if err != nil {
		return err
	}
	if redirect {
		url, err := i.port.ResultURL(r.Context(), id, cmp.Or(ttl, defaultLinks))
		if err != nil {
			return err
		}
		return redirectTo(r, url)
	}
	etag := `"` + info.ETag + `"`
	if unchanged(r, etag) {
		return nil
	}
	setFileHeaders(r, string(inv.Trigger)+".zip", "application/zip")
	return r.SendRange(info.Size, etag, open)
}

// unchanged sets the ETag. If the caller has that version already, unchanged answers 304 and returns true.
func unchanged(r *edge.Request, etag string) bool {
	r.Set("ETag", etag)
	if !matchesETag(r.Header("If-None-Match"), etag) {
		return false
	}
	r.Send(http.StatusNotModified, nil)
	return true
}

// resultFile answers with one file of the zip. It reads only the zip's directory and that file.
func (i *invocations) resultFile(r *edge.Request) error {
	name, err := param(r, "path")
	if err != nil {
		return err
	}
	id, err := i.allowed(r)
	if err != nil {
		return err
	}
	info, open, _, err := i.port.Result(r.Context(), id)
	if err != nil {
		return err
	}
	file, err := findInZip(open, info.Size, name)
	if err != nil {
		return err
	}
	etag := fmt.Sprintf(`"%s-%08x"`, info.ETag, file.CRC32)
	if unchanged(r, etag) {
		return nil
	}
	setFileHeaders(r, path.Base(name), mediaByName(name))
	size := int64(file.UncompressedSize64) //nolint:gosec // checked by findInZip
	if r.Method() == http.MethodHead {
		r.Stream(http.StatusOK, http.NoBody, size)
		return nil
	}
	body, err := openInZip(open, file)
	if err != nil {
		return err
	}
	r.Stream(http.StatusOK, body, size)
	return nil
}

// mostZipDirectory bounds how many bytes of a zip are read to find a file.
const mostZipDirectory = 64 << 20

func findInZip(open blob.Opener, size int64, name string) (*zip.File, error) {
	at := &blockReader{open: open, size: size, left: mostZipDirectory}
	z, err := zip.NewReader(at, size)
	if err != nil {
		return nil, fmt.Errorf("read the directory of a result: %w", err)
	}
	for _, f := range z.File {
		if f.Name == name && !f.FileInfo().IsDir() {
			if f.UncompressedSize64 > 1<<62 || f.CompressedSize64 > 1<<62 {
				return nil, fmt.Errorf("read a result: %q has an impossible size", name)
			}
			return f, nil
		}
	}
	return nil, faas.Errorf(faas.NotFound, "the result has no file %q; the record lists its files", text.Clip(name, 200))
}

// openInZip opens one file of a zip, with a single request to the store for its content.
func openInZip(open blob.Opener, f *zip.File) (io.ReadCloser, error) {
	offset, err := f.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("find %q in a result: %w", f.Name, err)
	}
	raw, err := open(offset, int64(f.CompressedSize64)) //nolint:gosec // checked by findInZip
	if err != nil {
		return nil, err
	}
	unpacked := &unpacked{Reader: raw, Closer: raw, left: f.UncompressedSize64, sum: crc32.NewIEEE(), want: f.CRC32}
	switch f.Method {
	case zip.Store:
	case zip.Deflate:
		unpacked.Reader = flate.NewReader(raw)
	default:
		return nil, errors.Join(fmt.Errorf("read %q in a result: it is packed with method %d", f.Name, f.Method), raw.Close())
	}
	return unpacked, nil
}

// unpacked is a file's content. Read returns the last bytes only if the checksum is right, so that a broken file never
// looks complete.
type unpacked struct {
	io.Reader
	io.Closer
	left uint64
	sum  hash.Hash32
	want uint32
}

// Read reads content.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	_, _ = u.sum.Write(p[:n])
	if uint64(n) > u.left { //nolint:gosec // not negative
		return 0, zip.ErrFormat
	}
	u.left -= uint64(n) //nolint:gosec // not negative
	switch {
	case u.left == 0 && u.sum.Sum32() != u.want:
		return 0, zip.ErrChecksum
	case u.left > 0 && errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// blockReader is an io.ReaderAt on a stored object. It reads whole blocks, because each read of the store is a request,
// and keeps the last two, because archive/zip reads a directory from its end and then from its beginning.
type blockReader struct {
	open   blob.Opener
	size   int64
	left   int64 // bytes that may still be fetched
	blocks [2]block
}

type block struct {
	at   int64
	data []byte
}

const blockBytes = 256 << 10

// ReadAt fetches the blocks of the bytes that it does not have.
func (b *blockReader) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) && at < b.size {
		data, err := b.block(at / blockBytes * blockBytes)
		if err != nil {
			return n, err
		}
		more := copy(p[n:], data[at%blockBytes:])
		n += more
		at += int64(more)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *blockReader) block(at int64) ([]byte, error) {
	for _, held := range b.blocks {
		if held.data != nil && held.at == at {
			return held.data, nil
		}
	}
	length := min(blockBytes, b.size-at)
	if b.left -= length; b.left < 0 {
		return nil, faas.Errorf(faas.TooLarge, "the result holds too many files to find one in it; fetch it whole")
	}
	body, err := b.open(at, length)
	if err != nil {
		return nil, err
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, errors.Join(fmt.Errorf("read a result at %d: %w", at, err), body.Close())
	}
	b.blocks[1], b.blocks[0] = b.blocks[0], block{at, data}
	return data, body.Close()
}
