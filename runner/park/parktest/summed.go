package parktest

import (
	"encoding/hex"
	"hash"
	"io"
)

// summed is a park.Result of a reader.
type summed struct {
	io.Reader
	sum  hash.Hash
	size int64
}

// Read reads and sums.
func (s *summed) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.size += int64(n)
	_, _ = s.sum.Write(p[:n])
	return n, err
}

// Close does nothing.
func (s *summed) Close() error { return nil }

// Sum returns what was read.
func (s *summed) Sum() (int64, string) { return s.size, hex.EncodeToString(s.sum.Sum(nil)) }

// Seq returns the number of the last event.
func (w *Worker) Seq() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seq
}
