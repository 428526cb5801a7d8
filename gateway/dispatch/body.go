package dispatch

import (
	"bytes"
	"fmt"
	"io"

	"davit/gateway/hub"
	"davit/internal/faas"
)

// body is a caller's input: small and in memory, or still on the caller's socket.
type body struct {
	small  []byte
	stream io.Reader
	size   int64 // -1: unknown
}

func newBody(req *faas.Call) *body {
	if req.Body == nil {
		return &body{}
	}
	return &body{stream: req.Body, size: req.Size}
}

// prefetch reads a body whose size is known and small, before a slot is claimed; then it is whole and can be offered to
// another slot.
func (b *body) prefetch() error {
	if b.stream == nil || b.size < 0 || b.size > hub.MaxSmall {
		return nil
	}
	small := make([]byte, b.size)
	if _, err := io.ReadFull(b.stream, small); err != nil {
		return fmt.Errorf("read the request body: %w", err)
	}
	b.small, b.stream = small, nil
	return nil
}

// whole reports whether nothing is left on the caller's socket.
func (b *body) whole() bool { return b.stream == nil }

// present reports whether there are, or may be, bytes of input.
func (b *body) present() bool { return b.stream != nil || len(b.small) > 0 }

func (b *body) hub() hub.Body {
	return hub.Body{Small: b.small, Stream: b.stream, Size: b.size}
}

// reader is for storing the body; size is -1 when it is not known.
func (b *body) reader() (r io.Reader, size int64) {
	if b.stream == nil {
		return bytes.NewReader(b.small), int64(len(b.small))
	}
	return b.stream, b.size
}
