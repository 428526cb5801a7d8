// Package blobtest holds a blob.Store and its blob.Signer to every sentence of their contract. An
// implementation's own test calls [Run] and adds only what the contract does not say.
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
	"testing"

	"davit/internal/blob"
)

// Opener makes an empty store for one test. What it starts ends with that test. The signed URLs must
// lead somewhere: to the store, or to handlers that it serves.
type Opener func(t *testing.T) (blob.Store, blob.Signer)

// Server is where a store's server falls short of the contract, for all that Davit can do.
type Server struct {
	KeepsCutUploads bool // it takes a signed upload that was cut for a whole one
}

// suite is what the tests share.
type suite struct {
	open   Opener
	server Server
}

// Run runs the suite, each test with a store of its own.
func Run(t *testing.T, open Opener) {
	t.Helper()
	RunOn(t, Server{}, open)
}

// RunOn is Run on a server that is known to fall short.
func RunOn(t *testing.T, server Server, open Opener) {
	t.Helper()
	s := suite{open: open, server: server}
	tests := []struct {
		name string
		run  func(*testing.T)
	}{
		{"put and get back", s.putAndGet},
		{"replace", s.replace},
		{"bodies that are not what was announced", s.mismatches},
		{"a body that fails in the middle", s.failingBody},
		{"bad options", s.badOptions},
		{"forms", s.forms},
		{"only if absent", s.ifAbsent},
		{"only if absent, at once", s.ifAbsentAtOnce},
		{"one key, many writers", s.oneKeyManyWriters},
		{"the body is left alone afterwards", s.bodyLeftAlone},
		{"big objects, flat memory", s.bigObjects},
		{"ranges", s.ranges},
		{"what is not there", s.notThere},
		{"replaced while it is read", s.replacedWhileRead},
		{"delete", s.deletes},
		{"odd keys", s.oddKeys},
		{"invalid keys", s.invalidKeys},
		{"list", s.list},
		{"list beyond a page", s.listBeyondPage},
		{"list while it changes", s.listWhileChanging},
		{"ended contexts", s.endedContexts},
		{"a context that ends in the middle", s.contextEndsInTheMiddle},
		{"ready", s.ready},
		{"signed downloads", s.signedDownloads},
		{"signed downloads by runners", s.signedRunnerDownloads},
		{"signed uploads", s.signedUploads},
		{"broken signed uploads", s.brokenSignedUploads},
		{"big signed transfers, flat memory", s.bigSignedTransfers},
		{"signed for one method", s.signedForOneMethod},
		{"signed URLs that were tampered with", s.signedTampered},
		{"signed URLs expire", s.signedExpire},
		{"signed URLs of odd keys", s.signedOddKeys},
		{"bounds of signing", s.signingBounds},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

// content makes n bytes that differ for each seed and from place to place.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(chachaSeed(seed)).Read(b)
	return b
}

func chachaSeed(seed uint64) (full [32]byte) {
	copy(full[:], fmt.Sprint(seed))
	return full
}

// stream gives n bytes without holding them.
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

// same compares contents without printing them.
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

// absent fails unless there is neither an object nor a trace of one.
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

// reader is any io.Reader and nothing more, so that no implementation can seek in it.
type reader struct{ io.Reader }

// failing gives some bytes and then an error.
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
