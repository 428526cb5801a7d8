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

// onePutBytes is the most that S3 takes in one PUT.
const onePutBytes = 5 << 30

// errNoParts says that one PUT takes any size here.
var errNoParts = errors.New("the store wants no parts")

// putParts uploads a file in parts. It becomes an object only when all of it was sent
// as it was written.
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
		var last *summed // what the last try sent
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
		return errors.New("what was sent is not what was written")
	}
	done.Upload = p.Upload
	if err := c.w.parts.CompleteParts(ctx, c.id, done); err != nil {
		return fmt.Errorf("complete the parts: %w", err)
	}
	return nil
}

// summed sums up a part while it is sent. HTTP may read it from another goroutine.
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

// clone copies a SHA-256, so that a part can be sent, and summed up, again.
func clone(h hash.Hash) hash.Hash {
	if c, is := h.(hash.Cloner); is {
		if copied, err := c.Clone(); err == nil {
			return copied
		}
	}
	return sha256.New() // the sum then does not match, and nothing is completed
}
