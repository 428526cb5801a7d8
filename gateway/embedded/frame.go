package embedded

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The journal is a header (magic, salt, CRC) followed by frames. A frame is
//
//	mark 4 | kind 1 | payload's length 4 | instant 8, Unix milliseconds | CRC-32C 4 | payload
//
// with little-endian numbers. The CRC covers the salt, everything before the CRC, and the payload. The mark is the
// first half of the salt. The salt is random, so that no value of a client can look like a frame of this journal.
const (
	magic          = "DAVITJ1\n"
	saltBytes      = 8
	fileHeadBytes  = len(magic) + saltBytes + 4
	markBytes      = 4
	frameHeadBytes = 21
	sumAt          = frameHeadBytes - 4

	// A client's command grows a little when its times are made absolute.
	maxPayloadBytes = maxRequestBytes + maxArguments*16 + 4096
)

// frameKind is the kind of a frame.
type frameKind byte

const (
	frameSnapshot    frameKind = 's' // a command that rebuilds a part of the state
	frameSnapshotEnd frameKind = 'e' // the end of the snapshot; the payload is empty
	frameCommand     frameKind = 'c' // a command that ran after the snapshot
	frameNothing     frameKind = 'n' // a test of whether the journal can be written; a replay skips it
)

// errBadFrame means that a frame is cut off or that its CRC is wrong.
var errBadFrame = errors.New("not a whole frame")

type frame struct {
	kind    frameKind
	at      int64 // the instant that the command saw
	payload []byte
}

// framing encodes and decodes the frames of one journal.
type framing struct{ salt [saltBytes]byte }

func (f framing) fileHead() []byte {
	b := append([]byte(magic), f.salt[:]...)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func parseFileHead(b []byte) (framing, error) {
	var f framing
	if !bytes.HasPrefix(b, []byte(magic)) {
		return f, errors.New("this is not a journal of Davit's embedded Redis")
	}
	if len(b) < fileHeadBytes {
		return f, errBadFrame
	}
	sum := binary.LittleEndian.Uint32(b[fileHeadBytes-4:])
	if sum != checksum(b[:fileHeadBytes-4]) {
		return f, errBadFrame
	}
	copy(f.salt[:], b[len(magic):])
	return f, nil
}

func (f framing) appendFrame(b []byte, kind frameKind, at int64, args []string) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHeadBytes)...)
	if len(args) > 0 {
		b = appendRequest(b, args)
	}
	head, payload := b[start:start+frameHeadBytes], b[start+frameHeadBytes:]
	copy(head, f.mark())
	head[4] = byte(kind)
	binary.LittleEndian.PutUint32(head[5:], uint32(len(payload))) //nolint:gosec // bounded by maxPayloadBytes
	binary.LittleEndian.PutUint64(head[9:], uint64(at))           //nolint:gosec // the same bits back
	binary.LittleEndian.PutUint32(head[sumAt:], f.sum(head, payload))
	return b
}

func (f framing) mark() []byte { return f.salt[:markBytes:markBytes] }

func (f framing) sum(head, payload []byte) uint32 {
	return checksum(f.salt[:], head[:sumAt], payload)
}

// read returns the next frame. It returns io.EOF at the end, and errBadFrame for bytes that are no frame. The payload
// is valid until the next read. Memory grows with the bytes that are read, not with the length that the frame states.
func (f framing) read(r *bufio.Reader, buf *bytes.Buffer) (frame, error) {
	head := make([]byte, frameHeadBytes)
	switch n, err := io.ReadFull(r, head); {
	case n == 0 && errors.Is(err, io.EOF):
		return frame{}, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return frame{}, errBadFrame
	case err != nil:
		return frame{}, err
	}
	size := binary.LittleEndian.Uint32(head[5:])
	if !bytes.HasPrefix(head, f.mark()) || size > maxPayloadBytes {
		return frame{}, errBadFrame
	}
	buf.Reset()
	if _, err := io.CopyN(buf, r, int64(size)); errors.Is(err, io.EOF) {
		return frame{}, errBadFrame
	} else if err != nil {
		return frame{}, err
	}
	if f.sum(head, buf.Bytes()) != binary.LittleEndian.Uint32(head[sumAt:]) {
		return frame{}, errBadFrame
	}
	at := int64(binary.LittleEndian.Uint64(head[9:])) //nolint:gosec // the same bits back
	return frame{kind: frameKind(head[4]), at: at, payload: buf.Bytes()}, nil
}

// frameAfter reports whether a whole frame begins at from or later. A whole frame after a bad one means damage in the
// middle of the file; without one, the bad frame is a torn tail.
func (f framing) frameAfter(file io.ReaderAt, from, size int64) (bool, error) {
	const window = 1 << 20
	b := make([]byte, window)
	for from < size {
		n, err := file.ReadAt(b[:min(window, size-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("read at %d: %w", from, err)
		}
		for at := 0; ; at++ {
			i := bytes.Index(b[at:n], f.mark())
			if i < 0 {
				break
			}
			at += i
			r := bufio.NewReader(io.NewSectionReader(file, from+int64(at), size-from-int64(at)))
			if _, err := f.read(r, new(bytes.Buffer)); err == nil {
				return true, nil
			}
		}
		if n <= markBytes {
			break
		}
		from += int64(n - markBytes + 1) // a mark may cross the end of the window
	}
	return false, nil
}

func checksum(parts ...[]byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // package crc32 makes this table once
	sum := uint32(0)
	for _, p := range parts {
		sum = crc32.Update(sum, table, p)
	}
	return sum
}
