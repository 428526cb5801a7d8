package blobtest

import (
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"davit/internal/blob"
)

const (
	bigBytes = 64 << 20
	// maxGrowthBytes is how much the heap may grow: a part of a body of unknown size is 16 MiB.
	maxGrowthBytes = 24 << 20
)

// gauge is a reader that measures the heap while bytes go through it.
type gauge struct {
	r     io.Reader
	since int
	base  uint64
	peak  uint64
}

func newGauge(r io.Reader) *gauge {
	g := &gauge{r: r}
	g.base = heap()
	return g
}

// heap returns the bytes in use after a garbage collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (g *gauge) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if g.since += n; g.since > 8<<20 {
		g.since = 0
		g.peak = max(g.peak, heap())
	}
	return n, err
}

func (g *gauge) check(t *testing.T, what string) {
	t.Helper()
	if g.peak == 0 {
		t.Errorf("%s: the heap was never measured", what)
	}
	if g.peak > g.base+maxGrowthBytes {
		t.Errorf("%s: the heap grew by %d MiB", what, (g.peak-g.base)>>20)
	}
}

func (s suite) bigObjects(t *testing.T) {
	store, _ := s.open(t)
	_, want := drain(t, stream(bigBytes, 1))
	for what, size := range map[string]int64{"known": bigBytes, "unknown": -1} {
		body := newGauge(stream(bigBytes, 1))
		info, err := store.Put(t.Context(), blob.Key(what), body, size, blob.PutOptions{SHA256: want})
		if err != nil {
			t.Fatal(err)
		}
		body.check(t, "put of "+what+" size")
		if info.Size != bigBytes || info.SHA256 != want {
			t.Errorf("put: %+v", info)
		}
		r, _, err := store.Get(t.Context(), blob.Key(what), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		object := newGauge(r)
		if n, got := drain(t, object); n != bigBytes || got != want {
			t.Errorf("got %d bytes, SHA-256 %s, want %s", n, got, want)
		}
		object.check(t, "get")
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (s suite) bigSignedTransfers(t *testing.T) {
	store, signer := s.open(t)
	address, err := signer.SignPut(t.Context(), "big", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, want := drain(t, stream(bigBytes, 2))
	body := newGauge(stream(bigBytes, 2))
	if a := send(t, http.MethodPut, address, body, bigBytes); a.status != http.StatusOK {
		t.Fatalf("PUT: %+v", a)
	}
	body.check(t, "signed PUT")
	if info, err := store.Stat(t.Context(), "big"); err != nil || info.Size != bigBytes {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if address, err = signer.SignGet(t.Context(), "big", time.Hour, blob.SignOptions{}); err != nil {
		t.Fatal(err)
	}
	response := do(t, request(t, http.MethodGet, address, nil, 0))
	object := newGauge(response.Body)
	if n, got := drain(t, object); n != bigBytes || got != want {
		t.Errorf("got %d bytes, SHA-256 %s, want %s", n, got, want)
	}
	object.check(t, "signed GET")
}
