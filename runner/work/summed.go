package work

import (
	"crypto/sha256"
	"hash"
	"io"
	"sync"
)

// summed adds a part to a SHA-256 while it is sent. The HTTP client may read it in another goroutine.
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
