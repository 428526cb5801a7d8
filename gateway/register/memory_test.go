package register_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"davit/internal/blob"
)

// memory is an object store in memory, for tests that start many gateways.
type memory struct {
	mu      sync.Mutex
	objects map[blob.Key][]byte
}

func newMemory() *memory { return &memory{objects: map[blob.Key][]byte{}} }

func (m *memory) Put(_ context.Context, key blob.Key, r io.Reader, _ int64, o blob.PutOptions) (blob.Info, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return blob.Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.objects[key]; there && o.IfAbsent {
		return blob.Info{}, blob.ErrExists
	}
	m.objects[key] = b
	return blob.Info{Key: key, Size: int64(len(b))}, nil
}

func (m *memory) Get(_ context.Context, key blob.Key, offset, _ int64) (io.ReadCloser, blob.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, there := m.objects[key]
	if !there {
		return nil, blob.Info{}, blob.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b[min(offset, int64(len(b))):])), blob.Info{Key: key, Size: int64(len(b))}, nil
}

func (m *memory) Delete(_ context.Context, key blob.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

func (m *memory) List(_ context.Context, prefix string, _ blob.Key) iter.Seq2[blob.Info, error] {
	m.mu.Lock()
	keys := slices.Sorted(maps.Keys(m.objects))
	m.mu.Unlock()
	return func(yield func(blob.Info, error) bool) {
		for _, key := range keys {
			if strings.HasPrefix(string(key), prefix) && !yield(blob.Info{Key: key}, nil) {
				return
			}
		}
	}
}
