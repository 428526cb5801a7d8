package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/internal/blob"
)

var errBody = errors.New("the caller hung up")

func (s suite) putAndGet(t *testing.T) {
	store, _ := s.open(t)
	for _, size := range []int{0, 1, 1000, 64 << 10, 64<<10 + 1, 1 << 20} {
		for _, announced := range []int64{int64(size), -1} {
			t.Run(fmt.Sprintf("%d as %d", size, announced), func(t *testing.T) {
				key := blob.Key(fmt.Sprintf("a/%d/%d", size, announced))
				want := content(size, uint64(size))
				before := time.Now()
				info, err := store.Put(t.Context(), key, reader{bytes.NewReader(want)}, announced,
					blob.PutOptions{ContentType: "text/x-test; charset=utf-8", SHA256: strings.ToUpper(sum(want))})
				if err != nil {
					t.Fatal(err)
				}
				describes(t, "put", info, key, want)
				same(t, "content", get(t, store, key), want)
				stat, err := store.Stat(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				describes(t, "stat", stat, key, want)
				if stat.ETag != info.ETag {
					t.Errorf("ETag: put said %q, stat %q", info.ETag, stat.ETag)
				}
				if age := before.Sub(stat.ModifiedAt); age > 2*time.Second || age < -time.Minute {
					t.Errorf("modified at %v, put at %v", stat.ModifiedAt, before)
				}
			})
		}
	}
}

func describes(t *testing.T, what string, got blob.Info, key blob.Key, content []byte) {
	t.Helper()
	if got.ETag == "" || strings.Contains(got.ETag, `"`) {
		t.Errorf("%s: ETag %q", what, got.ETag)
	}
	got.ETag, got.ModifiedAt = "", time.Time{}
	want := blob.Info{Key: key, Size: int64(len(content)), ContentType: "text/x-test; charset=utf-8", SHA256: sum(content)}
	if got != want {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func (s suite) replace(t *testing.T) {
	store, _ := s.open(t)
	first := put(t, store, "k", []byte("first"))
	if first.ContentType != blob.DefaultContentType {
		t.Errorf("content type without one: %q", first.ContentType)
	}
	second := put(t, store, "k", []byte("the second"))
	if first.ETag == second.ETag {
		t.Error("other content has the same ETag")
	}
	same(t, "content", get(t, store, "k"), []byte("the second"))
}

func (s suite) mismatches(t *testing.T) {
	const big = 300 << 10
	cases := []struct {
		name string
		body int
		size int64
		sha  string
	}{
		{"short", 10, 11, ""},
		{"empty for something", 0, 1, ""},
		{"something for empty", 1, 0, ""},
		{"long", 11, 10, ""},
		{"big and short", big, big + 1, ""},
		{"big and long", big + 1, big, ""},
		{"short of very big", big, 6 << 30, ""},
		{"checksum", 10, 10, sum([]byte("other"))},
		{"checksum, big", big, big, sum([]byte("other"))},
		{"checksum, unknown size", 10, -1, sum([]byte("other"))},
		{"checksum, unknown size, big", big, -1, sum([]byte("other"))},
	}
	store, _ := s.open(t)
	old := []byte("old content")
	put(t, store, "old", old)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, key := range []blob.Key{"old", "new/one"} {
				body := reader{bytes.NewReader(content(c.body, 1))}
				_, err := store.Put(t.Context(), key, body, c.size, blob.PutOptions{SHA256: c.sha})
				wantErr(t, "put", err, blob.ErrMismatch)
			}
			same(t, "old object", get(t, store, "old"), old)
			absent(t, store, "new/one")
		})
	}
}

func (s suite) failingBody(t *testing.T) {
	store, _ := s.open(t)
	for _, size := range []int64{10, 300 << 10, 20 << 20} {
		for _, announced := range []int64{size, -1} {
			// A broken HTTP body ends with io.ErrUnexpectedEOF, which some clients treat as the end.
			for _, cause := range []error{errBody, io.ErrUnexpectedEOF, fmt.Errorf("socket: %w", io.EOF)} {
				body := failing(content(int(size-1), 2), cause)
				_, err := store.Put(t.Context(), "k", body, announced, blob.PutOptions{})
				wantErr(t, fmt.Sprintf("put of %d as %d", size, announced), err, cause)
				absent(t, store, "k")
			}
		}
	}
}

func (s suite) badOptions(t *testing.T) {
	store, _ := s.open(t)
	for _, o := range []blob.PutOptions{
		{ContentType: "text/plain\r\nX-Evil: 1"},
		{ContentType: "text/plän"},
		{ContentType: strings.Repeat("x", 513)},
		{SHA256: "abc"},
		{SHA256: strings.Repeat("z", 64)},
		{SHA256: strings.Repeat("0", 66)},
	} {
		if _, err := store.Put(t.Context(), "k", strings.NewReader("x"), 1, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	absent(t, store, "k")
	longest := blob.PutOptions{ContentType: strings.Repeat("x", 512)}
	if _, err := store.Put(t.Context(), "k", strings.NewReader("x"), 1, longest); err != nil {
		t.Error(err)
	}
}

// An object with the content type of a form, as many inputs have, is stored like every other, at every size.
func (s suite) forms(t *testing.T) {
	store, _ := s.open(t)
	for _, announced := range []int64{200 << 10, -1} {
		want := content(200<<10, 1)
		if _, err := store.Put(t.Context(), "k", reader{bytes.NewReader(want)}, announced, blob.PutOptions{ContentType: "Multipart/form-data; boundary=b"}); err != nil {
			t.Fatalf("announced as %d: %v", announced, err)
		}
		same(t, "content", get(t, store, "k"), want)
		if info, err := store.Stat(t.Context(), "k"); err != nil || info.ContentType != blob.DefaultContentType {
			t.Errorf("content type %q, %v", info.ContentType, err)
		}
	}
}

func (s suite) ifAbsent(t *testing.T) {
	store, _ := s.open(t)
	only := blob.PutOptions{IfAbsent: true}
	for _, size := range []int{5, 300 << 10} {
		key := blob.Key(fmt.Sprintf("k/%d", size))
		first := content(size, 1)
		if _, err := store.Put(t.Context(), key, bytes.NewReader(first), int64(size), only); err != nil {
			t.Fatal(err)
		}
		for _, announced := range []int64{int64(size), -1} {
			_, err := store.Put(t.Context(), key, bytes.NewReader(content(size, 2)), announced, only)
			wantErr(t, "put again", err, blob.ErrExists)
		}
		same(t, "content", get(t, store, key), first)
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(t.Context(), key, bytes.NewReader(first), int64(size), only); err != nil {
			t.Errorf("after the deletion: %v", err)
		}
	}
}

func (s suite) ifAbsentAtOnce(t *testing.T) {
	const writers = 8
	store, _ := s.open(t)
	for _, c := range []struct {
		size      int
		announced int64
	}{{10, 10}, {300 << 10, 300 << 10}, {300 << 10, -1}} {
		for round := range 5 {
			key := blob.Key(fmt.Sprintf("k/%d/%d/%d", c.size, c.announced, round))
			errs := make([]error, writers)
			var group sync.WaitGroup
			for i := range writers {
				group.Go(func() {
					_, errs[i] = store.Put(t.Context(), key, bytes.NewReader(content(c.size, uint64(i))), c.announced,
						blob.PutOptions{IfAbsent: true})
				})
			}
			group.Wait()
			winner := -1
			for i, err := range errs {
				if err == nil && winner < 0 {
					winner = i
				} else if !errors.Is(err, blob.ErrExists) {
					t.Errorf("%s: writer %d: got %v, want %v", key, i, err, blob.ErrExists)
				}
			}
			if winner < 0 {
				t.Fatalf("%s: no writer succeeded", key)
			}
			same(t, "content", get(t, store, key), content(c.size, uint64(winner)))
		}
	}
}

func (s suite) oneKeyManyWriters(t *testing.T) {
	const writers, rounds, size = 6, 10, 200 << 10
	store, _ := s.open(t)
	allowed := make([][]byte, writers)
	for i := range allowed {
		allowed[i] = content(size+i, uint64(i))
	}
	put(t, store, "deep/er/k", allowed[0])
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for i := range writers {
		writing.Go(func() {
			for range rounds {
				if _, err := store.Put(t.Context(), "deep/er/k", bytes.NewReader(allowed[i]), int64(size+i), blob.PutOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for !done.Load() {
				if err := readsWhole(t.Context(), store, "deep/er/k", allowed); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	if err := readsWhole(t.Context(), store, "deep/er/k", allowed); err != nil {
		t.Error(err)
	}
}

// readsWhole returns nil if the object is one of the allowed ones, and its Info describes that one.
func readsWhole(ctx context.Context, store blob.Store, key blob.Key, allowed [][]byte) error {
	r, info, err := store.Get(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if !slices.ContainsFunc(allowed, func(a []byte) bool { return bytes.Equal(a, b) }) {
		return fmt.Errorf("read %d bytes that are no writer's object", len(b))
	}
	if info.Size != int64(len(b)) || info.SHA256 != "" && info.SHA256 != sum(b) {
		return fmt.Errorf("read %d bytes described as %+v", len(b), info)
	}
	return nil
}

// A server may refuse before it has read the body; the body must not be read once Put has returned.
func (s suite) bodyNotReadAfterwards(t *testing.T) {
	store, _ := s.open(t)
	put(t, store, "k", []byte("old"))
	for _, c := range []struct {
		ctx context.Context
		o   blob.PutOptions
	}{
		{t.Context(), blob.PutOptions{IfAbsent: true}},
		{t.Context(), blob.PutOptions{SHA256: sum(nil)}},
		{t.Context(), blob.PutOptions{}},
		{ended(), blob.PutOptions{}},
	} {
		var returned, late atomic.Bool
		body := io.MultiReader(bytes.NewReader(content(1<<20, 1)), errReader{errBody})
		watched := readerFunc(func(p []byte) (int, error) {
			if returned.Load() {
				late.Store(true)
			}
			return body.Read(p)
		})
		if _, err := store.Put(c.ctx, "k", watched, 2<<20, c.o); err == nil {
			t.Errorf("%+v: it succeeded", c.o)
		}
		returned.Store(true)
		same(t, "content", get(t, store, "k"), []byte("old")) // meanwhile a read that goes on would happen
		if late.Load() {
			t.Errorf("%+v: the body was read after Put had returned", c.o)
		}
	}
}
