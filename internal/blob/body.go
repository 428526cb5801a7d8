package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
)

// body reads the content of a Put and checks its size and checksum. Read returns the last bytes only if both are right,
// so that a server that stores whole requests only cannot store wrong content.
type body struct {
	mu   sync.Mutex // an HTTP transport may still read while Put returns
	ctx  context.Context
	r    io.Reader
	size int64 // -1 unknown
	want string
	read int64
	hash hash.Hash
	err  error // what every further Read returns; io.EOF when the body was read to its end and is right
}

// newBody returns a body that reads r. want is a SHA-256 in hex, or empty.
func newBody(ctx context.Context, r io.Reader, size int64, want string) *body {
	return &body{ctx: ctx, r: r, size: size, want: strings.ToLower(want), hash: sha256.New()}
}

// Read wraps every error of r, because some clients treat a bare io.ErrUnexpectedEOF as the end.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.next(p)
	if err == nil {
		return n, nil
	}
	b.err = b.verify(err)
	if !isEnd(b.err) {
		return 0, b.err
	}
	return n, b.err
}

// next reads on. At the announced end it checks that r ends there.
func (b *body) next(p []byte) (n int, err error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.size >= 0 {
		p = p[:min(int64(len(p)), b.size-b.read)]
	}
	if len(p) > 0 {
		n, err = b.r.Read(p)
		b.read += int64(n)
		b.hash.Write(p[:n])
	}
	if err == nil && b.read == b.size {
		err = b.expectEnd()
	}
	return n, err
}

// expectEnd returns io.EOF if r has no more bytes.
func (b *body) expectEnd() error {
	var more [1]byte
	for range 100 { // as often as bufio reads again when a reader returns 0 bytes and no error
		n, err := b.r.Read(more[:])
		if n > 0 {
			return fmt.Errorf("%w: it has more than %d bytes", ErrMismatch, b.size)
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// verify returns io.EOF if the reading ended with it and the body is right, and what is wrong otherwise.
func (b *body) verify(end error) error {
	switch {
	case errors.Is(end, ErrMismatch):
		return end
	case !isEnd(end):
		return fmt.Errorf("read the body: %w", end)
	case b.size >= 0 && b.read != b.size:
		return fmt.Errorf("%w: it ends after %d of %d bytes", ErrMismatch, b.read, b.size)
	case b.want != "" && b.want != b.sum():
		return fmt.Errorf("%w: its SHA-256 is %s, not %s", ErrMismatch, b.sum(), b.want)
	}
	return io.EOF
}

// isEnd reports whether err is the end of a stream and not an error that wraps io.EOF.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // the end is this very value

func (b *body) sum() string { return hex.EncodeToString(b.hash.Sum(nil)) }

// stop waits for a running Read and makes every later one fail. It returns what is wrong with the body, nil if nothing
// is known to be. It is called once.
func (b *body) stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.err = errStopped }()
	if b.err == nil || isEnd(b.err) {
		return nil
	}
	return b.err
}

var errStopped = errors.New("the body is no longer read")

// check refuses options that a store cannot keep.
func (o PutOptions) check() error {
	if len(o.ContentType) > maxContentTypeBytes {
		return fmt.Errorf("content type of %d bytes: at most %d", len(o.ContentType), maxContentTypeBytes)
	}
	for _, c := range []byte(o.ContentType) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("content type %q has characters that are not printable ASCII", o.ContentType)
		}
	}
	if sum, err := hex.DecodeString(o.SHA256); err != nil || len(sum) != 0 && len(sum) != sha256.Size {
		return fmt.Errorf("SHA-256 %q is not %d bytes in hex", o.SHA256, sha256.Size)
	}
	return nil
}

func (o PutOptions) contentType() string {
	if o.ContentType == "" || len(o.ContentType) >= len(formType) && strings.EqualFold(o.ContentType[:len(formType)], formType) {
		return DefaultContentType
	}
	return o.ContentType
}
