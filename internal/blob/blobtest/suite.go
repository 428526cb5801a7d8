package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"davit/internal/blob"
)

// drain reads r to its end and returns the size and the SHA-256.
func drain(t *testing.T, r io.Reader) (n int64, sum string) {
	t.Helper()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		t.Fatal(err)
	}
	return n, hex.EncodeToString(h.Sum(nil))
}

// Opener opens an empty store for one test. Everything that it starts ends with that test. The signed URLs must reach
// the store, or handlers that the Opener serves.
type Opener func(t *testing.T) (blob.Store, blob.Signer)

// Server says in which ways a store's server breaks the contract, where Davit cannot prevent it.
type Server struct {
	KeepsCutUploads bool // it stores the bytes that came of a signed upload whose connection broke
}

// suite has the tests as its methods.
type suite struct {
	open   Opener
	server Server
}

// content returns n random bytes of a seed.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(chachaSeed(seed)).Read(b)
	return b
}

func chachaSeed(seed uint64) (full [32]byte) {
	copy(full[:], fmt.Sprint(seed))
	return full
}

// stream reads the same bytes as content, without keeping them in memory.
func stream(n int64, seed uint64) io.Reader {
	return io.LimitReader(rand.NewChaCha8(chachaSeed(seed)), n)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func put(t *testing.T, store blob.Store, key blob.Key, b []byte) blob.Info {
	t.Helper()
	info, err := store.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t *testing.T, store blob.Store, key blob.Key) []byte {
	t.Helper()
	return getRange(t, store, key, 0, -1)
}

func getRange(t *testing.T, store blob.Store, key blob.Key, offset, length int64) []byte {
	t.Helper()
	r, _, err := store.Get(t.Context(), key, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// same compares contents and does not print them.
func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes (SHA-256 %.8s), want %d (%.8s)", what, len(got), sum(got), len(want), sum(want))
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// absent fails if there is an object or List gives it.
func absent(t *testing.T, store blob.Store, key blob.Key) {
	t.Helper()
	_, err := store.Stat(t.Context(), key)
	wantErr(t, "stat "+string(key), err, blob.ErrNotFound)
	for _, found := range keys(t, store, "", "") {
		if found == key {
			t.Errorf("%s is listed", key)
		}
	}
}

func keys(t *testing.T, store blob.Store, prefix string, after blob.Key) []blob.Key {
	t.Helper()
	var found []blob.Key
	for info, err := range store.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, info.Key)
	}
	return found
}

// reader hides all methods but Read, so that no implementation can seek.
type reader struct{ io.Reader }

// failing reads some bytes and then an error.
func failing(b []byte, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(b), errReader{err})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// odd returns keys that are allowed and that a proxy, server or file system might treat in a special way.
func odd() []blob.Key {
	return []blob.Key{
		" lead", "trail ", "x/ y /z", "a+b%41?#&=;,'\"*~!$()@^`{}[]", "%2e%2e/x", "dot.", ".hidden/.x", "..x/y..", ".../x", "日本/é😀",
		"e\u0301", "\u202egnp", "-rf", "back\\slash", "a:b|c<d>", "tmp/lock", "objects/x", "lock", "con/nul",
		blob.Key(strings.Repeat("s", 255)), blob.Key(strings.Repeat("é", 127) + "/x"),
		blob.Key(strings.Repeat("deep/", 100) + "x"), blob.Key(strings.Repeat(strings.Repeat("l", 199)+"/", 5) + "123456789012345678901234"),
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
