package scratch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func TestFileKeepsBytesWhateverTheirNumber(t *testing.T) {
	for _, n := range []int{0, 1, MemoryBytes - 1, MemoryBytes, MemoryBytes + 1, 5*MemoryBytes + 17} {
		dir := t.TempDir()
		f := New(dir)
		want := random(n)
		var readers sync.WaitGroup
		for _, from := range []int64{0, int64(n / 2), int64(n), int64(n) + 10} {
			r := f.Reader(t.Context(), from)
			readers.Go(func() {
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, want[min(from, int64(n)):]) {
					t.Errorf("%d bytes from %d: got %d bytes, %v", n, from, len(got), err)
				}
				_ = r.Close()
			})
		}
		for rest := want; len(rest) > 0; {
			k := min(len(rest), 7001)
			if _, err := f.Write(rest[:k]); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		f.Finish()
		readers.Wait()
		sum := sha256.Sum256(want)
		if f.SHA256() != hex.EncodeToString(sum[:]) || f.Size() != int64(n) {
			t.Errorf("%d bytes: sum or size %d is wrong", n, f.Size())
		}
		if tail := f.Tail(100); !bytes.Equal(tail, want[max(n-100, 0):]) {
			t.Errorf("%d bytes: the tail is wrong", n)
		}
		f.Release()
		if names, _ := os.ReadDir(dir); len(names) != 0 {
			t.Errorf("%d bytes: left %v", n, names)
		}
	}
}

func TestFailedFileIsNeverWhole(t *testing.T) {
	f := New(t.TempDir())
	defer f.Release()
	why := errors.New("the file changed")
	_, _ = f.Write([]byte("part"))
	f.Fail(why)
	r := f.Reader(t.Context(), 0)
	defer func() { _ = r.Close() }()
	got, err := io.ReadAll(r)
	if string(got) != "part" || !errors.Is(err, why) || !errors.Is(f.Err(), why) {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestReaderEndsWithItsContextOrClose(t *testing.T) {
	f := New(t.TempDir())
	defer f.Release()
	ctx, cancel := context.WithCancel(t.Context())
	r := f.Reader(ctx, 0)
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("after cancel: %v", err)
	}
	_ = r.Close()

	r = f.Reader(t.Context(), 0)
	ended := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		ended <- err
	}()
	_ = r.Close()
	_ = r.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Fatalf("after close: %v", err)
	}
}

func TestReaderOutlivesItsOwner(t *testing.T) {
	f := New(t.TempDir())
	want := random(2 * MemoryBytes)
	_, _ = f.Write(want)
	f.Finish()
	r := f.Reader(t.Context(), 0)
	f.Release()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	_ = r.Close()
}

func TestFileSaysWhenItsDiskIsAway(t *testing.T) {
	f := New(t.TempDir() + "/missing")
	defer f.Release()
	if _, err := f.Write(make([]byte, MemoryBytes+1)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if f.Err() == nil {
		t.Fatal("the file has not failed")
	}
}

func TestLossyFileKeepsWhatItCould(t *testing.T) {
	f := NewLossy(t.TempDir() + "/missing")
	defer f.Release()
	for _, n := range []int{100, MemoryBytes, 100} {
		if k, err := f.Write(make([]byte, n)); err != nil || k != n {
			t.Fatalf("%d bytes: %d, %v", n, k, err)
		}
	}
	f.Finish()
	r := f.Reader(t.Context(), 0)
	defer func() { _ = r.Close() }()
	if b, err := io.ReadAll(r); err != nil || len(b) != 100 || f.Err() != nil || f.Size() != 100 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}
