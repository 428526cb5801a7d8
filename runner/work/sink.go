package work

import (
	"context"
	"encoding/hex"
	"hash"
	"io"
)

// sink receives the raw input.
type sink interface {
	io.Writer
	Size() int64
	SHA256() string
}

type digest struct {
	sum  hash.Hash
	size int64
}

// Write implements io.Writer.
func (d *digest) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	return d.sum.Write(p)
}

// Size returns how many bytes were written.
func (d *digest) Size() int64 { return d.size }

// SHA256 returns the hex SHA-256 of the bytes that were written.
func (d *digest) SHA256() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// source reads a body, writes the bytes to to, and keeps the error that ended it.
type source struct {
	from io.Reader
	to   io.Writer
	most int64 // 0: any number
	size int64
	err  error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.from.Read(p)
	s.size += int64(n)
	if s.most > 0 && s.size > s.most {
		s.err = ErrTooLarge
		return 0, s.err
	}
	if _, werr := s.to.Write(p[:n]); werr != nil {
		s.err = werr
		return 0, s.err
	}
	s.err = err
	return n, err
}

// ctxReader is a body that fails once one of its contexts has ended.
type ctxReader struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to be given one
	life context.Context //nolint:containedctx // as above
	from io.Reader
}

// Read implements io.Reader.
func (p *ctxReader) Read(b []byte) (int, error) {
	for _, ctx := range []context.Context{p.ctx, p.life} {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	return p.from.Read(b)
}

// drain discards the rest of a body. Unlike io.Discard it is no io.ReaderFrom, so that io.Copy reads in large pieces.
type drain struct{}

// Write implements io.Writer.
func (drain) Write(p []byte) (int, error) { return len(p), nil }
