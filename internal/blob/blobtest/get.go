package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"davit/internal/blob"
)

func (s suite) ranges(t *testing.T) {
	store, _ := s.open(t)
	const size = 1000
	whole := content(size, 1)
	put(t, store, "k", whole)
	put(t, store, "empty", nil)
	for _, c := range []struct{ offset, length, from, to int64 }{
		{0, -1, 0, size},
		{0, size, 0, size},
		{0, 1, 0, 1},
		{0, 0, 0, 0},
		{500, 0, 500, 500},
		{10, 20, 10, 30},
		{990, -1, 990, size},
		{990, 10, 990, size},
		{990, 11, 990, size},
		{990, math.MaxInt64, 990, size},
		{size - 1, -1, size - 1, size},
		{size, -1, size, size},
		{size, 1, size, size},
		{size + 1, -1, size, size},
		{math.MaxInt64, -1, size, size},
		{math.MaxInt64, math.MaxInt64, size, size},
	} {
		what := fmt.Sprintf("%d bytes from %d", c.length, c.offset)
		r, info, err := store.Get(t.Context(), "k", c.offset, c.length)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if info.Size != size || info.Key != "k" || info.ETag == "" {
			t.Errorf("%s: described as %+v", what, info)
		}
		if err := iotest.TestReader(r, whole[c.from:c.to]); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
		if c.offset <= 1 {
			same(t, what+" of nothing", getRange(t, store, "empty", c.offset, c.length), nil)
		}
	}
	for _, c := range [][2]int64{{-1, -1}, {0, -2}, {math.MinInt64, 1}} {
		if _, _, err := store.Get(t.Context(), "k", c[0], c[1]); err == nil {
			t.Errorf("%d bytes from %d: no error", c[1], c[0])
		}
	}
}

func (s suite) notFound(t *testing.T) {
	store, _ := s.open(t)
	put(t, store, "a/b/c", []byte("x"))
	for _, key := range []blob.Key{"nothing", "a", "a/b", "a/b/d", "x/y/z"} {
		for _, c := range [][2]int64{{0, -1}, {0, 0}, {5, 5}} {
			_, _, err := store.Get(t.Context(), key, c[0], c[1])
			wantErr(t, fmt.Sprintf("get %s %v", key, c), err, blob.ErrNotFound)
		}
		_, err := store.Stat(t.Context(), key)
		wantErr(t, "stat "+string(key), err, blob.ErrNotFound)
	}
}

func (s suite) replacedWhileRead(t *testing.T) {
	const size = 8 << 20
	store, _ := s.open(t)
	first := content(size, 1)
	for what, change := range map[string]func() error{
		"replaced": func() error {
			_, err := store.Put(t.Context(), "k", bytes.NewReader(content(size, 2)), size, blob.PutOptions{})
			return err
		},
		"deleted": func() error { return store.Delete(t.Context(), "k") },
	} {
		put(t, store, "k", first)
		r, _, err := store.Get(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		changed := make(chan error, 1) // in a goroutine, because the change may wait for the reader
		go func() { changed <- change() }()
		if b, err := io.ReadAll(r); err == nil {
			same(t, what, b, first)
		} else if !bytes.HasPrefix(first, b) {
			t.Errorf("%s: a mixture was read", what)
		}
		if err := errors.Join(r.Close(), <-changed); err != nil {
			t.Error(err)
		}
	}
}

func (s suite) deletes(t *testing.T) {
	store, _ := s.open(t)
	put(t, store, "a/b/c", []byte("1"))
	put(t, store, "a/b/d", []byte("2"))
	for _, key := range []blob.Key{"nothing", "a/nothing", "a", "a/b", "a/b/c/d", "a/b/c", "a/b/c"} {
		if err := store.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	absent(t, store, "a/b/c")
	same(t, "another object of the folder", get(t, store, "a/b/d"), []byte("2"))
	put(t, store, "a/b/c", []byte("3"))
	same(t, "put again", get(t, store, "a/b/c"), []byte("3"))
}

func (s suite) endedContexts(t *testing.T) {
	store, _ := s.open(t)
	put(t, store, "k", []byte("x"))
	_, err := store.Put(ended(), "new", bytes.NewReader(nil), 0, blob.PutOptions{})
	wantErr(t, "put", err, context.Canceled)
	_, _, err = store.Get(ended(), "k", 0, -1)
	wantErr(t, "get", err, context.Canceled)
	_, err = store.Stat(ended(), "k")
	wantErr(t, "stat", err, context.Canceled)
	wantErr(t, "delete", store.Delete(ended(), "k"), context.Canceled)
	wantErr(t, "ready", store.Ready(ended()), context.Canceled)
	err = nil
	for _, err = range store.List(ended(), "", "") {
		if err != nil {
			break
		}
	}
	wantErr(t, "list", err, context.Canceled)
	absent(t, store, "new")
	same(t, "content", get(t, store, "k"), []byte("x"))
}

func (s suite) contextEndsInTheMiddle(t *testing.T) {
	const size = 32 << 20
	store, _ := s.open(t)
	for _, announced := range []int64{size, -1} {
		ctx, cancel := context.WithCancel(t.Context())
		cut := io.MultiReader(stream(size/2, 1), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, nil
		}), stream(size/2, 2))
		_, err := store.Put(ctx, "new", cut, announced, blob.PutOptions{})
		wantErr(t, "put", err, context.Canceled)
		absent(t, store, "new")
	}
	if _, err := store.Put(t.Context(), "k", stream(size, 1), size, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := store.Get(ctx, "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.Copy(io.Discard, r)
	wantErr(t, "read", err, context.Canceled)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	put(t, store, "l", nil)
	err = nil
	for _, err = range store.List(ctx, "", "") {
		cancel()
	}
	wantErr(t, "list", err, context.Canceled)
}

func (s suite) ready(t *testing.T) {
	store, _ := s.open(t)
	if err := store.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if found := keys(t, store, "", ""); len(found) != 0 {
		t.Errorf("Ready left %v", found)
	}
}
