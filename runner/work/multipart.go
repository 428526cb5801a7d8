package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
	"davit/runner/transfer"
)

// onePutBytes is the largest object that S3 takes in one PUT.
const onePutBytes = 5 << 30

// errNoParts says that the store takes an object of any size in one PUT.
var errNoParts = errors.New("the store has no multipart uploads")

// putParts uploads a file in parts. The upload is completed only if the SHA-256 of the
// bytes that were sent is the file's.
func (c *Call) putParts(ctx context.Context, file *scratch.File, what task.PartObject) error {
	done := task.PartsDone{Object: what, Attempt: c.task.Record.Attempt, Size: file.Size()}
	wanted := task.PartsWanted{Object: what, Attempt: done.Attempt, Size: done.Size}
	if deadline, is := ctx.Deadline(); is {
		wanted.For = faas.Duration(deadline.Sub(c.w.now()))
	}
	p, err := c.w.parts.BeginParts(ctx, c.id, wanted)
	if err != nil {
		return fmt.Errorf("begin the parts: %w", err)
	}
	if len(p.URLs) == 0 {
		return errNoParts
	}
	sum := sha256.New()
	for i, to := range p.URLs {
		from := int64(i) * p.PartBytes
		size := min(p.PartBytes, done.Size-from)
		if size <= 0 {
			return errors.New("there are more parts than bytes")
		}
		var last *summed // of the last try
		etag, err := c.w.client.PutPart(ctx, to, transfer.Object{Size: size, Open: func() io.ReadCloser {
			r := file.Reader(ctx, from)
			last = &summed{Closer: r, from: io.LimitReader(r, size), sum: clone(sum)}
			return last
		}})
		if err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(p.URLs), err)
		}
		sum = last.sumOf()
		done.ETags = append(done.ETags, etag)
	}
	if hex.EncodeToString(sum.Sum(nil)) != file.SHA256() {
		return errors.New("the SHA-256 of the bytes that were sent is not the file's")
	}
	done.Upload = p.Upload
	if err := c.w.parts.CompleteParts(ctx, c.id, done); err != nil {
		return fmt.Errorf("complete the parts: %w", err)
	}
	return nil
}

// summed adds a part to a SHA-256 while it is sent. The HTTP client may read it in
// another goroutine.
type summed struct {
	io.Closer
	from io.Reader

	mu  sync.Mutex
	sum hash.Hash
}

// Read implements io.Reader.
func (s *summed) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Write(p[:n])
	return n, err
}

func (s *summed) sumOf() hash.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	return clone(s.sum)
}

// clone copies a SHA-256, so that a part can be sent and added again.
func clone(h hash.Hash) hash.Hash {
	if c, is := h.(hash.Cloner); is {
		if copied, err := c.Clone(); err == nil {
			return copied
		}
	}
	return sha256.New() // the sums then differ, and the upload is not completed
}
