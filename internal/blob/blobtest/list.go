package blobtest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"davit/internal/blob"
)

func (s suite) oddKeys(t *testing.T) {
	store, _ := s.open(t)
	for i, key := range odd() {
		put(t, store, key, []byte(fmt.Sprint(i)))
	}
	for i, key := range odd() {
		same(t, string(key), get(t, store, key), []byte(fmt.Sprint(i)))
	}
	want := odd()
	slices.Sort(want)
	if got := keys(t, store, "", ""); !slices.Equal(got, want) {
		t.Errorf("list: got %q, want %q", got, want)
	}
	for _, key := range odd() {
		if got := keys(t, store, string(key), ""); !slices.Equal(got, []blob.Key{key}) {
			t.Errorf("list with prefix %q: got %q", key, got)
		}
		if err := store.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if got := keys(t, store, "", ""); len(got) != 0 {
		t.Errorf("after all were deleted: %q", got)
	}
}

func (s suite) invalidKeys(t *testing.T) {
	store, signer := s.open(t)
	for _, key := range []blob.Key{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "./a", " ", "a\x00b", "a\nb", "a\x1bb", "a\u0085b",
		"\xff", "a/\xc3", blob.Key(strings.Repeat("s", 256)), blob.Key(strings.Repeat("a/", 512) + "a"),
	} {
		_, err := store.Put(t.Context(), key, bytes.NewReader(nil), 0, blob.PutOptions{})
		wantErr(t, fmt.Sprintf("put %q", key), err, blob.ErrInvalidKey)
		_, _, err = store.Get(t.Context(), key, 0, -1)
		wantErr(t, fmt.Sprintf("get %q", key), err, blob.ErrInvalidKey)
		_, err = store.Stat(t.Context(), key)
		wantErr(t, fmt.Sprintf("stat %q", key), err, blob.ErrInvalidKey)
		wantErr(t, fmt.Sprintf("delete %q", key), store.Delete(t.Context(), key), blob.ErrInvalidKey)
		_, err = signer.SignGet(t.Context(), key, blob.MaxTTL, blob.SignOptions{})
		wantErr(t, fmt.Sprintf("sign %q", key), err, blob.ErrInvalidKey)
		_, err = signer.SignRunnerGet(t.Context(), key, blob.MaxTTL)
		wantErr(t, fmt.Sprintf("sign %q", key), err, blob.ErrInvalidKey)
		_, err = signer.SignPut(t.Context(), key, blob.MaxTTL)
		wantErr(t, fmt.Sprintf("sign %q", key), err, blob.ErrInvalidKey)
	}
	for _, prefix := range []string{"/", "//", "/a", "a//", "a/../", "..", "a/..", "./", "a\n", "\xff", strings.Repeat("s", 256)} {
		wantErr(t, fmt.Sprintf("list %q", prefix), listError(t, store, prefix, ""), blob.ErrInvalidKey)
	}
	wantErr(t, "list after an invalid key", listError(t, store, "", "a//b"), blob.ErrInvalidKey)
	if found := keys(t, store, "", ""); len(found) != 0 {
		t.Errorf("stored: %q", found)
	}
}

func listError(t *testing.T, store blob.Store, prefix string, after blob.Key) error {
	t.Helper()
	for _, err := range store.List(t.Context(), prefix, after) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s suite) list(t *testing.T) {
	store, _ := s.open(t)
	all := []blob.Key{ // in order: '-' and '.' sort before '/', '0' after it
		"a-b", "a.b/x", "a/b/c", "a/b/d", "a/b-", "a/bc", "a0", "ab", "b/1/x", "b/10/x", "b/2/x", "é",
	}
	slices.Sort(all)
	for i, key := range slices.Backward(all) {
		put(t, store, key, content(i, 1))
	}
	for _, c := range []struct {
		prefix string
		after  blob.Key
	}{
		{"", ""},
		{"a", ""},
		{"a/", ""},
		{"a/b", ""},
		{"a/b/", ""},
		{"a/b/c", ""},
		{"a/b/c/", ""},
		{"a.", ""},
		{"b/1", ""},
		{"b/1/", ""},
		{"c", ""},
		{"é", ""},
		{"", "a"},
		{"", "a-b"},
		{"", "a.b"},
		{"", "a/b"},
		{"", "a/b/c"},
		{"", "a/b/d"},
		{"", "a/c"},
		{"", "a0"},
		{"", "b/1/x"},
		{"", "é"},
		{"", "z"},
		{"a/", "a/b/c"},
		{"a/", "a/b"},
		{"a/", "a0"},
		{"a/", "Z"},
		{"b/", "b/10"},
		{"b/", "a"},
		{"b/1", "b/1/x"},
	} {
		var want []blob.Key
		for _, key := range all {
			if strings.HasPrefix(string(key), c.prefix) && key > c.after {
				want = append(want, key)
			}
		}
		if got := keys(t, store, c.prefix, c.after); !slices.Equal(got, want) {
			t.Errorf("prefix %q after %q: got %q, want %q", c.prefix, c.after, got, want)
		}
	}
	i := 0
	for info, err := range store.List(t.Context(), "", "") {
		if err != nil || info.Size != int64(i) || info.ModifiedAt.IsZero() {
			t.Errorf("object %d: %+v, %v", i, info, err)
		}
		if i++; i == len(all)-1 {
			break // List must not call yield again
		}
	}
}

func (s suite) listBeyondPage(t *testing.T) {
	const objects, writers = 2100, 8
	store, _ := s.open(t)
	want := make([]blob.Key, objects)
	for i := range want {
		want[i] = blob.Key(fmt.Sprintf("p/%02d/%06d", i/100, i))
	}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := w; i < objects; i += writers {
				if _, err := store.Put(t.Context(), want[i], bytes.NewReader(nil), 0, blob.PutOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := keys(t, store, "p/", ""); !slices.Equal(got, want) {
		t.Errorf("got %d keys, want %d in order", len(got), len(want))
	}
	if got := keys(t, store, "", want[998]); !slices.Equal(got, want[999:]) {
		t.Errorf("after the 999th: got %d keys, want %d in order", len(got), len(want)-999)
	}
}

func (s suite) listWhileChanging(t *testing.T) {
	store, _ := s.open(t)
	var stays []blob.Key
	for i := range 20 {
		stays = append(stays, blob.Key(fmt.Sprintf("s/%02d/stays", i)))
		put(t, store, stays[i], nil)
		put(t, store, blob.Key(fmt.Sprintf("s/%02d/goes/x", i)), nil)
	}
	var got []blob.Key
	for info, err := range store.List(t.Context(), "s/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(string(info.Key), "stays") {
			got = append(got, info.Key)
		}
		if len(got) == 1 {
			for i := range 20 {
				if err := store.Delete(t.Context(), blob.Key(fmt.Sprintf("s/%02d/goes/x", i))); err != nil {
					t.Fatal(err)
				}
				put(t, store, blob.Key(fmt.Sprintf("s/%02d/comes", i)), nil)
			}
		}
	}
	if !slices.Equal(got, stays) {
		t.Errorf("got %q, want %q", got, stays)
	}
}
