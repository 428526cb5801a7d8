package blob

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// An object's file is its content and then a trailer. The content is first so that other programs can read the file;
// the trailer has a fixed size so that List can compute the object's size from the file's:
//
//	16 bytes  magic
//	 8 bytes  size of the content, big-endian
//	32 bytes  SHA-256 of the content
//	 2 bytes  length of the content type, big-endian
//	          content type, then zeros
//
// Both are in one file because two files cannot be replaced at once.
const (
	trailerBytes = 1024
	trailerMagic = "davit object 1\r\n"
)

// metadata is the content of the trailer.
type metadata struct {
	size        int64
	sha256      [32]byte
	contentType string
}

func (m metadata) encode() []byte {
	b := make([]byte, 0, trailerBytes)
	b = append(b, trailerMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.size)) //nolint:gosec // sizes are not negative
	b = append(b, m.sha256[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.contentType))) //nolint:gosec // PutOptions.check bounds it
	b = append(b, m.contentType...)
	return b[:trailerBytes]
}

var errDamaged = errors.New("the object's file is damaged")

// decodeTrailer refuses the trailer of a file that is not whole.
func decodeTrailer(b []byte, fileSize int64) (metadata, error) {
	const fixed = len(trailerMagic) + 8 + 32 + 2
	if len(b) != trailerBytes || !bytes.HasPrefix(b, []byte(trailerMagic)) {
		return metadata{}, errDamaged
	}
	rest := b[len(trailerMagic):]
	m := metadata{size: int64(binary.BigEndian.Uint64(rest))} //nolint:gosec // compared with the file's
	copy(m.sha256[:], rest[8:])
	n := int(binary.BigEndian.Uint16(rest[40:]))
	if m.size != fileSize-trailerBytes || n > maxContentTypeBytes {
		return metadata{}, errDamaged
	}
	m.contentType = string(b[fixed : fixed+n])
	return m, nil
}

func (m metadata) info(key Key, modifiedAt time.Time) Info {
	sum := hex.EncodeToString(m.sha256[:])
	return Info{
		Key: key, Size: m.size, ETag: sum[:32], ContentType: m.contentType,
		ModifiedAt: modifiedAt.UTC(), SHA256: sum,
	}
}

func objectPath(key Key) string { return objectsDir + "/" + string(key) }

func readInfo(file *os.File, key Key) (Info, error) {
	stat, err := file.Stat()
	if err != nil {
		return Info{}, translate(err)
	}
	if !stat.Mode().IsRegular() {
		return Info{}, ErrNotFound // a folder of keys
	}
	if stat.Size() < trailerBytes {
		return Info{}, errDamaged
	}
	var trailer [trailerBytes]byte
	if _, err := file.ReadAt(trailer[:], stat.Size()-trailerBytes); err != nil {
		return Info{}, translate(err)
	}
	m, err := decodeTrailer(trailer[:], stat.Size())
	if err != nil {
		return Info{}, err
	}
	return m.info(key, stat.ModTime()), nil
}

// section reads a range of an object.
type section struct {
	ctx  context.Context
	r    *io.SectionReader
	file *os.File
}

func (s *section) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

func (s *section) Close() error { return s.file.Close() }

func checkRange(offset, length int64) error {
	if offset < 0 || length < -1 {
		return fmt.Errorf("range of %d bytes from %d: negative", length, offset)
	}
	return nil
}

// cutRange cuts a range at the object's end.
func cutRange(offset, length, size int64) (from, n int64) {
	offset = min(offset, size)
	if length < 0 || length > size-offset {
		length = size - offset
	}
	return offset, length
}

const objectsDir = "objects" // an object's path below it is its key

// ofInvocation reports whether the object of a key belongs to an invocation.
func ofInvocation(key Key) bool { return strings.HasPrefix(string(key), "invocations/") }
