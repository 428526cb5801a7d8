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

// body reads what is put and holds it to what was announced. Its last bytes are handed out only when the
// size and the checksum were found right, so that a consumer that stores what it gets whole, and nothing
// of what is cut short, cannot store a wrong body.
type body struct {
	mu   sync.Mutex // an HTTP transport may still read while Put gives up
	ctx  context.Context
	r    io.Reader
	size int64 // -1 unknown
	want string
	read int64
	hash hash.Hash
	err  error // sticky; io.EOF when the body was read to its end and found right
}

// newBody reads r. want is a checksum in hex, or empty.
func newBody(ctx context.Context, r io.Reader, size int64, want string) *body {
	return &body{ctx: ctx, r: r, size: size, want: strings.ToLower(want), hash: sha256.New()}
}

// Read never returns io.ErrUnexpectedEOF or another bare error of r: some consumers take that for an end.
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
	b.err = b.judge(err)
	if !isEnd(b.err) {
		return 0, b.err
	}
	return n, b.err
}

// next reads on, and looks past the announced end when it gets there.
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

// expectEnd is io.EOF when nothing follows.
func (b *body) expectEnd() error {
	var more [1]byte
	for range 100 { // as often as bufio tolerates a reader that gives nothing
		n, err := b.r.Read(more[:])
		if n > 0 {
			return fmt.Errorf("%w: it goes on past %d bytes", ErrMismatch, b.size)
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// judge turns what ended the reading into io.EOF if all is right, and into what was wrong otherwise.
func (b *body) judge(end error) error {
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

// isEnd tells the end of a stream from an error that only wraps one.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // the end is this very value

func (b *body) sum() string { return hex.EncodeToString(b.hash.Sum(nil)) }

// stop waits for a Read under way and lets no other through. It returns what was wrong with the body, nil
// if nothing was found so far. It is called once.
func (b *body) stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.err = errStopped }()
	if b.err == nil || isEnd(b.err) {
		return nil
	}
	return b.err
}

var errStopped = errors.New("the body is not read any more")

// check refuses options that no store could keep.
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
