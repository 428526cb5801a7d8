package blob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/blob"
)

func TestNewFolderRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir, secret, want string
	}{
		{"a short secret", t.TempDir(), "0123456789abcde", "the secret has 15 bytes"},
		{"no secret", t.TempDir(), "", "the secret has 0 bytes"},
		{"a file", file, "0123456789abcdef", "not a directory"},
	} {
		_, err := blob.NewFolder(c.dir, blob.FolderOptions{Secret: []byte(c.secret)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestFolderIsClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	folder := newFolder(t, dir)
	put(t, folder, "x/y/z", "content")
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// An object's file begins with its content, so that other programs can read it.
func TestFolderFileIsTheContent(t *testing.T) {
	dir := t.TempDir()
	put(t, newFolder(t, dir), "a/b", "content")
	got, err := os.ReadFile(filepath.Join(dir, "objects/a/b"))
	if err != nil || !bytes.HasPrefix(got, []byte("content")) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFolderRefusesAKeyThatIsAFolderOfAnother(t *testing.T) {
	folder := newFolder(t, t.TempDir())
	put(t, folder, "a/b", "1")
	put(t, folder, "c", "2")
	for _, key := range []blob.Key{"a", "c/d", "c/d/e"} {
		for _, ifAbsent := range []bool{false, true} {
			_, err := folder.Put(t.Context(), key, strings.NewReader("x"), 1, blob.PutOptions{IfAbsent: ifAbsent})
			if !errors.Is(err, blob.ErrInvalidKey) {
				t.Errorf("%s, if absent %t: got %v", key, ifAbsent, err)
			}
		}
	}
	if got := read(t, folder, "a/b") + read(t, folder, "c"); got != "12" {
		t.Errorf("the other objects are now %q", got)
	}
}

func TestFolderReplacedWhileReadGivesTheOldObject(t *testing.T) {
	folder := newFolder(t, t.TempDir())
	put(t, folder, "k", "old content")
	r, info, err := folder.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	put(t, folder, "k", "new")
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(got) != "old content" || info.Size != 11 {
		t.Errorf("got %q, %+v, %v", got, info, err)
	}
}

func TestFolderRemovesEmptyFoldersWhilePutsGoOn(t *testing.T) {
	dir := t.TempDir()
	folder := newFolder(t, dir)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			key := blob.Key(fmt.Sprintf("invocations/x/y/%d", i))
			for range 100 {
				if _, err := folder.Put(t.Context(), key, strings.NewReader("x"), 1, blob.PutOptions{IfAbsent: i%2 == 0}); err != nil {
					t.Error(err)
				}
				if err := folder.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	left, err := os.ReadDir(filepath.Join(dir, "objects"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestFolderNoticesDamage(t *testing.T) {
	dir := t.TempDir()
	folder := newFolder(t, dir)
	file := filepath.Join(dir, "objects", "k")
	for what, damage := range map[string]func([]byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"trailer cut":    func(b []byte) []byte { return b[:len(b)-1] },
		"content cut":    func(b []byte) []byte { return b[1:] },
		"trailer zeroed": func(b []byte) []byte { return append(b[:7], make([]byte, 1024)...) },
		"longer":         func(b []byte) []byte { return append([]byte("x"), b...) },
		"absurd type":    func(b []byte) []byte { b[7+56], b[7+57] = 0xff, 0xff; return b },
	} {
		put(t, folder, "k", "content")
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, damage(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := folder.Stat(t.Context(), "k"); err == nil || errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s: stat: %v", what, err)
		}
		if _, _, err := folder.Get(t.Context(), "k", 0, -1); err == nil || errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s: get: %v", what, err)
		}
	}
	put(t, folder, "k", "content")
	if got := read(t, folder, "k"); got != "content" {
		t.Errorf("after it was put again: %q", got)
	}
}

func TestFolderThatIsGone(t *testing.T) {
	dir := t.TempDir()
	folder := newFolder(t, dir)
	for _, name := range []string{"objects", "tmp"} { // the objects first, then both
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := folder.Ready(t.Context()); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("without %s: ready: %v", name, err)
		}
		_, err := folder.Put(t.Context(), "a/b", strings.NewReader("x"), 1, blob.PutOptions{})
		if !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("without %s: put: %v", name, err)
		}
	}
}

func TestFolderHandlersRefuseEachOthersURLs(t *testing.T) {
	folder := newFolder(t, t.TempDir())
	put(t, folder, "k", "x")
	get, err := folder.SignGet(t.Context(), "k", time.Minute, blob.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	runnerGet, err := folder.SignRunnerGet(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	public, runners := folder.PublicHandler(), http.StripPrefix("/objects", folder.RunnerHandler())
	for _, c := range []struct {
		name    string
		handler http.Handler
		address string
		want    int
	}{
		{"public", public, get, 200},
		{"runners", runners, runnerGet, 200},
		{"public's at runners", folder.RunnerHandler(), get, 403},
		{"runners' at public", http.StripPrefix("/objects", folder.PublicHandler()), runnerGet, 403},
		{"unsigned", public, "/k", 403},
		{"a second signature", public, get + "&signature=0", 403},
		{"a second parameter", public, get + "&expires=9999999999", 403},
		{"a bad query", public, get + "&%zz", 403},
		{"another store, the same secret", newFolder(t, t.TempDir()).PublicHandler(), get, 404},
	} {
		recorder := httptest.NewRecorder()
		c.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.address, nil))
		if recorder.Code != c.want {
			t.Errorf("%s: got %d, want %d", c.name, recorder.Code, c.want)
		}
	}
}

func TestFolderClockSecretAndLog(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var text bytes.Buffer
	dir := t.TempDir()
	open := func(secret string) *blob.Folder {
		folder, err := blob.NewFolder(dir, blob.FolderOptions{
			Secret: []byte(secret), PublicBase: func() string { return "http://x" },
			Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&text, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = folder.Close() })
		return folder
	}
	folder, other := open("0123456789abcdef"), open("another secret, as long")
	put(t, folder, "k", "x")
	address, err := folder.SignGet(t.Context(), "k", 10*time.Second, blob.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.SignPut(t.Context(), "k", time.Minute); err == nil || !strings.Contains(err.Error(), "without an address") {
		t.Errorf("signing without a base: %v", err)
	}
	status := func(folder *blob.Folder, method string) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		folder.PublicHandler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), method, address, nil))
		return recorder
	}
	if got := status(other, http.MethodGet).Code; got != http.StatusForbidden {
		t.Errorf("with another secret: %d", got)
	}
	now = now.Add(9 * time.Second)
	if got := status(folder, http.MethodHead); got.Code != http.StatusOK || got.Body.Len() != 0 || got.Header().Get("Content-Length") != "1" {
		t.Errorf("HEAD in time: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "objects", "k"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := status(folder, http.MethodGet)
	if got.Code != http.StatusInternalServerError || strings.Contains(got.Body.String(), "damaged") || !strings.Contains(text.String(), "damaged") {
		t.Errorf("a damaged object: %+v, log %q", got, text.String())
	}
	now = now.Add(time.Second)
	if got := status(folder, http.MethodGet).Code; got != http.StatusForbidden {
		t.Errorf("when it has expired: %d", got)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func put(t *testing.T, store blob.Store, key blob.Key, content string) {
	t.Helper()
	if _, err := store.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, store blob.Store, key blob.Key) string {
	t.Helper()
	r, _, err := store.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}
