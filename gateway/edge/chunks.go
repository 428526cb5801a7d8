package edge

import (
	"bytes"
	"io"
)

// Bounds of the overhead of a chunked body: one line, the trailer, and the sum, which is computed as in net/http.
const (
	maxChunkLine    = 2 << 10
	maxTrailerBytes = 8 << 10
	maxChunkExcess  = 16 << 10
	maxSizeDigits   = 15
)

// chunks is a body with Transfer-Encoding: chunked (RFC 9112 §7.1). The parser is strict: lines end with CRLF, and
// sizes are hexadecimal digits without sign or prefix. It ignores extensions and trailers.
type chunks struct {
	left   int64 // bytes of the current chunk
	begun  bool  // the CRLF of a chunk comes before the next size
	done   bool
	excess int64
}

func (c *chunks) whole() bool { return c.done }

func (c *chunks) next(src *bodySource, p []byte) (int, error) {
	if c.done {
		return 0, io.EOF
	}
	if c.left == 0 {
		if err := c.header(src); err != nil {
			return 0, err
		}
	}
	if c.done {
		return 0, io.EOF
	}
	n, err := src.data(p, c.left)
	c.left -= int64(n)
	return n, err
}

// header reads from the end of one chunk to the data of the next, or to the end of the body.
func (c *chunks) header(src *bodySource) error {
	if c.begun {
		line, err := src.line()
		if err != nil {
			return err
		}
		if len(line) != 0 {
			return errBadChunks
		}
		c.begun = false
	}
	line, err := src.line()
	if err != nil {
		return err
	}
	size, ok := chunkSize(line)
	if !ok {
		return errBadChunks
	}
	c.excess = max(0, c.excess+int64(len(line))-16-2*size)
	if c.excess > maxChunkExcess {
		return errBadChunks
	}
	if size == 0 {
		return c.trailer(src)
	}
	c.left, c.begun = size, true
	return nil
}

func (c *chunks) trailer(src *bodySource) error {
	for total := 0; total < maxTrailerBytes; {
		line, err := src.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			c.done = true
			return nil
		}
		total += len(line)
	}
	return errBadChunks
}

// chunkSize parses the line before a chunk: the size, and extensions, which may hold no control characters.
func chunkSize(line []byte) (int64, bool) {
	digits, extension, _ := bytes.Cut(line, []byte{';'})
	digits = bytes.TrimRight(digits, " \t")
	if len(digits) == 0 || len(digits) > maxSizeDigits {
		return 0, false
	}
	var size int64
	for _, b := range digits {
		v := hexValue(b)
		if v < 0 {
			return 0, false
		}
		size = size<<4 | v
	}
	for _, b := range extension {
		if b < ' ' && b != '\t' || b == 0x7f {
			return 0, false
		}
	}
	return size, true
}

func hexValue(b byte) int64 {
	switch {
	case b >= '0' && b <= '9':
		return int64(b - '0')
	case b >= 'a' && b <= 'f':
		return int64(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int64(b-'A') + 10
	}
	return -1
}

// line reads a line without its CRLF. The line is valid until the next read. An incomplete line stays in the buffer.
func (s *bodySource) line() ([]byte, error) {
	ahead := &s.b.c.ahead
	for seen := 0; ; {
		held := ahead.bytes()
		if i := bytes.IndexByte(held[seen:], '\n'); i >= 0 {
			i += seen
			if i == 0 || held[i-1] != '\r' || bytes.IndexByte(held[:i-1], '\r') >= 0 {
				return nil, errBadChunks
			}
			s.b.expect = false
			ahead.skip(i + 1)
			return held[:i-1], nil
		}
		seen = len(held)
		if seen > maxChunkLine {
			return nil, errBadChunks
		}
		room, err := ahead.fill(s)
		if err != nil {
			return nil, err
		}
		if !room {
			return nil, errBadChunks
		}
	}
}
