package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"hash"
	"io"
)

// limitReader is a reader that counts the bytes it reads, refuses more than most, and fails when ctx ends.
type limitReader struct {
	ctx   context.Context
	r     io.Reader
	n     int64
	most  int64 // 0: unbounded
	hash  hash.Hash
	state string // "packed" or "unpacked", for the refusal
	err   error  // the first error of r or ctx, or the refusal; later reads return it again
}

func (c *limitReader) Read(p []byte) (int, error) {
	if c.err == nil {
		c.err = c.ctx.Err()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.hash != nil {
		_, _ = c.hash.Write(p[:n])
	}
	if c.most > 0 && c.n > c.most {
		c.err = refuse("", "is larger than %d bytes %s, which is the limit", c.most, c.state)
		return 0, c.err
	}
	if err != nil && !isEnd(err) {
		c.err = err
	}
	return n, err
}

// cancelable is a reader that fails when ctx ends.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (s cancelable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// decompress returns the decompressed stream, or a *Refusal that names the format that was sent instead.
func decompress(packed io.Reader) (io.Reader, error) {
	const enough = 512 // one tar header, which contains the magic of tar
	buffered := bufio.NewReaderSize(packed, 64<<10)
	head, err := buffered.Peek(enough)
	if err != nil && !isEnd(err) {
		return nil, err
	}
	if why := notGzip(head); why != "" {
		return nil, refuse("", "%s: send a .tgz, as tar -czf x.tgz -C FOLDER . makes it", why)
	}
	gz, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, damaged(err)
	}
	return gz, nil
}

func notGzip(head []byte) string {
	for magic, what := range map[string]string{
		"PK\x03\x04": "is a zip file", "PK\x05\x06": "is a zip file", "BZh": "is compressed with bzip2",
		"\xfd7zXZ\x00": "is compressed with xz", "\x28\xb5\x2f\xfd": "is compressed with zstd",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return what
		}
	}
	switch {
	case len(head) == 0:
		return "is empty"
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return "is tar, but not compressed"
	case !bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "is not gzip"
	}
	return ""
}

// expectZeros reads r to its end and refuses bytes that are not zero.
func expectZeros(r io.Reader, buffer []byte) error {
	for {
		n, err := r.Read(buffer)
		if len(bytes.Trim(buffer[:n], "\x00")) > 0 {
			return refuse("", "has data after its end: it is two archives in one file, or broken")
		}
		if isEnd(err) {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
	}
}

// damaged turns an error of a decoder into a *Refusal. It returns a *Refusal and a writeError unchanged.
func damaged(err error) error {
	var refusal *Refusal
	var disk writeError
	switch {
	case errors.As(err, &refusal), errors.As(err, &disk):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return refuse("", "is cut off: send it again")
	case errors.Is(err, gzip.ErrHeader):
		return refuse("", "is damaged, or has other data after its end: send it again")
	}
	return refuse("", "is not a tar archive, or is damaged (%v)", err)
}
