package result

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// workspace makes a folder with files; a name that ends in "/" is a folder.
func workspace(t testing.TB, files map[string]string) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root, dir
}

func TestCollect(t *testing.T) {
	root, dir := workspace(t, map[string]string{
		"a.txt": "a", "b.png": "bb", ".hidden": "h", "out/x.txt": "x", "out/deep/er/y.txt": "y", "out/z.bin": "z",
		"we[ird].txt": "w", "empty/": "", "src/code.py": "c",
	})
	must(t, os.Symlink("a.txt", filepath.Join(dir, "link.txt")))
	must(t, os.Symlink("/proc/1/environ", filepath.Join(dir, "environ.txt")))
	must(t, os.Symlink("out", filepath.Join(dir, "outlink")))
	must(t, os.Symlink("/etc", filepath.Join(dir, "etc")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo.txt"), 0o644))
	tests := []struct {
		patterns []string
		most     int64
		want     []string
		fault    string
		large    bool
	}{
		{patterns: []string{"a.txt"}, want: []string{"a.txt"}},
		{patterns: []string{"./a.txt", "a.txt", "a*"}, want: []string{"a.txt"}},
		{patterns: []string{"*.txt"}, want: []string{"a.txt", "we[ird].txt"}},
		{patterns: []string{"**/*.txt"}, want: []string{"a.txt", "out/deep/er/y.txt", "out/x.txt", "we[ird].txt"}},
		{patterns: []string{"out/*"}, want: []string{"out/x.txt", "out/z.bin"}},
		{patterns: []string{"out/**"}, want: []string{"out/deep/er/y.txt", "out/x.txt", "out/z.bin"}},
		{patterns: []string{"*/*/*/y.txt", "*.png"}, want: []string{"b.png", "out/deep/er/y.txt"}},
		{patterns: []string{"{a,b}.{txt,png}"}, want: []string{"a.txt", "b.png"}},
		{patterns: []string{"{out/deep,src}/**"}, want: []string{"out/deep/er/y.txt", "src/code.py"}},
		{patterns: []string{`we\[ird\].txt`}, want: []string{"we[ird].txt"}},
		{patterns: []string{".h*"}, want: []string{".hidden"}},
		{patterns: []string{"a.txt", "gone.txt", "x"}, fault: `"gone.txt"`},
		{patterns: []string{"gone/*.txt"}, fault: `"gone/*.txt"`},
		{patterns: []string{"a.txt/x"}, fault: `"a.txt/x"`},
		{patterns: []string{"empty/**"}, fault: `"empty/**"`},
		{patterns: []string{"out"}, fault: `write "out/**"`},
		{patterns: []string{"link.txt"}, fault: "links are not followed"},
		{patterns: []string{"environ.txt"}, fault: "links are not followed"},
		{patterns: []string{"outlink/x.txt"}, fault: `"outlink/x.txt"`},
		{patterns: []string{"outlink/*"}, fault: `"outlink/*"`},
		{patterns: []string{"etc/passwd"}, fault: `"etc/passwd"`},
		{patterns: []string{"fifo.txt"}, fault: "no regular file"},
		{patterns: []string{"../*"}, fault: "no pattern"},
		{patterns: []string{"/etc/passwd"}, fault: "no pattern"},
		{patterns: []string{"[a"}, fault: "no pattern"},
		{patterns: []string{""}, fault: `""`},
		{patterns: []string{"out/**"}, most: 3, want: []string{"out/deep/er/y.txt", "out/x.txt", "out/z.bin"}},
		{patterns: []string{"out/**"}, most: 2, fault: "larger than 2 bytes", large: true},
	}
	for _, test := range tests {
		files, err := Collect(root, test.patterns, test.most)
		var got []string
		for _, f := range files {
			got = append(got, f.Path)
		}
		fault, is := errors.AsType[*Error](err)
		if !slices.Equal(got, test.want) || is != (test.fault != "") || is && (!strings.Contains(fault.Detail, test.fault) || fault.TooLarge != test.large) {
			t.Errorf("%q: got %q, %v", test.patterns, got, err)
		}
	}
}

func TestSparseTerabytesAreTooLarge(t *testing.T) {
	root, dir := workspace(t, map[string]string{"huge": ""})
	must(t, os.Truncate(filepath.Join(dir, "huge"), 1<<40))
	_, err := Collect(root, []string{"*"}, 1<<30)
	if fault, is := errors.AsType[*Error](err); !is || !fault.TooLarge {
		t.Fatalf("got %v", err)
	}
}

func TestFoldersNestedTooDeep(t *testing.T) {
	root, dir := workspace(t, nil)
	path := dir
	for range maxDepth + 1 {
		path += "/d"
	}
	must(t, os.MkdirAll(path, 0o755))
	_, err := Collect(root, []string{"**"}, 0)
	if fault, is := errors.AsType[*Error](err); !is || !fault.TooLarge {
		t.Fatalf("got %v", err)
	}
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return string(b)
}

func TestZipIsWhatTheWorkspaceHolds(t *testing.T) {
	content := map[string]string{
		"empty": "", "tiny": "tiny", "text.txt": strings.Repeat("words ", 1000), "noise": random(5000), "photo.jpg": strings.Repeat("x", 5000),
		"large.txt": strings.Repeat("many words ", 100_000), "large noise": random(300_000), "large.png": strings.Repeat("y", 300_000),
		"edge": random(wholeBytes), "edge2": strings.Repeat("e", wholeBytes+1), "edge3": random(copyBytes), "edge4": random(copyBytes + 1),
		"dir/größe 🙂.txt": "unicode", `back\slash`: "b", "new\nline": "n", "caf\xe9": "latin", `quo"te'`: "q", "100%41.txt": "percent",
	}
	wantMethod := map[string]uint16{
		"tiny": zip.Store, "text.txt": zip.Deflate, "noise": zip.Store, "photo.jpg": zip.Store,
		"large.txt": zip.Deflate, "large noise": zip.Store, "large.png": zip.Store,
	}
	root, dir := workspace(t, content)
	at := time.Date(2023, 5, 6, 7, 8, 10, 0, time.UTC)
	must(t, os.Chtimes(filepath.Join(dir, "tiny"), at, at))
	must(t, os.Chtimes(filepath.Join(dir, "large.txt"), at, at))
	must(t, os.Chmod(filepath.Join(dir, "tiny"), 0o755|os.ModeSetuid))
	files, err := Collect(root, []string{"**"}, 0)
	must(t, err)
	z := NewZipper()
	var first []byte
	for range 2 {
		var out bytes.Buffer
		must(t, z.Zip(&out, root, files))
		if first == nil {
			first = out.Bytes()
		}
		if !bytes.Equal(first, out.Bytes()) {
			t.Fatal("the same files give another zip")
		}
	}
	r, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	must(t, err)
	if len(r.File) != len(content) {
		t.Fatalf("%d files in the zip, %d in the workspace", len(r.File), len(content))
	}
	for i, entry := range r.File {
		in, err := entry.Open()
		must(t, err)
		got, err := io.ReadAll(in)
		must(t, err)
		if string(got) != content[files[i].Path] || entry.Name != EntryName(files[i].Path) || entry.NonUTF8 {
			t.Errorf("%q: %d bytes, not those of %q", entry.Name, len(got), files[i].Path)
		}
		if method, set := wantMethod[entry.Name]; set && entry.Method != method {
			t.Errorf("%q: method %d", entry.Name, entry.Method)
		}
		if entry.Method == zip.Store && entry.Flags&8 != 0 {
			t.Errorf("%q is stored with a descriptor, which unpackers that stream cannot read", entry.Name)
		}
	}
	for _, entry := range r.File {
		if entry.Name == "tiny" || entry.Name == "large.txt" {
			if !entry.Modified.Equal(at) {
				t.Errorf("%s: time %v", entry.Name, entry.Modified)
			}
		}
		if entry.Name == "tiny" && entry.Mode() != 0o755 {
			t.Errorf("mode %v", entry.Mode())
		}
	}
}

func TestEntryNames(t *testing.T) {
	tests := map[string]string{
		"a/b.txt": "a/b.txt", "größe 🙂": "größe 🙂", "a\x00b": "a%00b", "a\r\nb": "a%0D%0Ab", `a\b`: "a%5Cb", "caf\xe9": "caf%E9",
		"\u0085": "%C2%85", "\ufffd": "\ufffd", `"`: `"`, "100%": "100%",
	}
	for path, want := range tests {
		if got := EntryName(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

func TestTwoFilesOfOneEntryNameAreAnError(t *testing.T) {
	root, _ := workspace(t, map[string]string{"a\nb": "1", "a%0Ab": "2"})
	files, err := Collect(root, []string{"*"}, 0)
	must(t, err)
	if _, is := errors.AsType[*Error](NewZipper().Zip(io.Discard, root, files)); !is {
		t.Fatal("no error")
	}
}

func TestFilesThatChangeAreAnError(t *testing.T) {
	for _, size := range []int{10, 5000, 300_000} {
		for name, change := range map[string]func(path string) error{
			"grown":    func(path string) error { return os.WriteFile(path, make([]byte, size+1), 0o644) },
			"shrunk":   func(path string) error { return os.Truncate(path, int64(size)-1) },
			"gone":     os.Remove,
			"a link":   func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
			"a FIFO":   func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o644)) },
			"a folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		} {
			root, dir := workspace(t, map[string]string{"f": random(size)})
			files, err := Collect(root, []string{"*"}, 0)
			must(t, err)
			must(t, change(filepath.Join(dir, "f")))
			if _, is := errors.AsType[*Error](NewZipper().Zip(io.Discard, root, files)); !is {
				t.Errorf("%d bytes, %s: no error", size, name)
			}
		}
	}
}

func TestStream(t *testing.T) {
	for _, text := range []string{"", "out\n", strings.Repeat("words ", 100_000), random(300_000)} {
		var out bytes.Buffer
		must(t, NewZipper().Stream(&out, "stdout", int64(len(text)), time.Unix(1e9, 0), strings.NewReader(text)))
		r, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
		must(t, err)
		in, err := r.Open("stdout")
		must(t, err)
		if got, err := io.ReadAll(in); err != nil || string(got) != text || len(r.File) != 1 {
			t.Errorf("%d bytes: got %d, %v", len(text), len(got), err)
		}
	}
}

func TestHundredThousandFiles(t *testing.T) {
	const n = 100_000
	root, dir := workspace(t, nil)
	for i := range n {
		if i%1000 == 0 {
			must(t, os.Mkdir(fmt.Sprintf("%s/%03d", dir, i/1000), 0o755))
		}
		must(t, unixCreate(fmt.Sprintf("%s/%03d/%d", dir, i/1000, i)))
	}
	begun := time.Now()
	files, err := Collect(root, []string{"**"}, 0)
	must(t, err)
	out, err := os.Create(filepath.Join(t.TempDir(), "zip"))
	must(t, err)
	defer func() { _ = out.Close() }()
	must(t, NewZipper().Zip(out, root, files))
	t.Logf("%d files in %v", n, time.Since(begun))
	r, err := zip.OpenReader(out.Name())
	must(t, err)
	defer func() { _ = r.Close() }()
	if len(r.File) != n || r.File[n-1].Name != "099/99999" {
		t.Fatalf("%d files, last %q", len(r.File), r.File[len(r.File)-1].Name)
	}
}

func unixCreate(path string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return unix.Close(fd)
}

func BenchmarkZip(b *testing.B) {
	for name, text := range map[string]string{"text": strings.Repeat("some words that repeat, ", 45_000), "noise": random(1 << 20)} {
		b.Run(name, func(b *testing.B) {
			root, _ := workspace(b, map[string]string{"f": text})
			files, err := Collect(root, []string{"f"}, 0)
			must(b, err)
			z := NewZipper()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				must(b, z.Zip(io.Discard, root, files))
			}
		})
	}
}
