package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

// wideLimits are limits that no small archive reaches.
var wideLimits = Limits{PackedBytes: 100 << 20, UnpackedBytes: 1 << 30, Entries: 100_000}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644, Uname: content}
}

func link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}

func hard(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
}

func folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o700}
}

func other(kind byte, name string) tar.Header { return tar.Header{Typeflag: kind, Name: name} }

// tarOf returns a tar archive. The content of a file is in the Uname of its header, which tarOf empties.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Uname
		h.Uname = ""
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tgz(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	return zipped(t, tarOf(t, headers...))
}

// both calls Unpack and Check. They must agree, and nothing may be left of a refused archive.
func both(t *testing.T, archive []byte, l Limits) (string, Summary, error) {
	t.Helper()
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	s, err := unpack(t.Context(), bytes.NewReader(archive), dir, l, noFlush)
	checked, checkErr := Check(t.Context(), bytes.NewReader(archive), l)
	if !reflect.DeepEqual(s, checked) || fmt.Sprint(err) != fmt.Sprint(checkErr) {
		t.Errorf("Unpack says %+v, %v; Check %+v, %v", s, err, checked, checkErr)
	}
	left, readErr := os.ReadDir(parent)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if want := 1; err != nil && len(left) != 0 || err == nil && len(left) != want {
		t.Errorf("left in the parent: %v", left)
	}
	return dir, s, err
}

func noFlush(*os.Root) error { return nil }

func TestUnpack(t *testing.T) {
	modified := time.Unix(1_700_000_000, 0)
	script := file("./bin/run", "#!/bin/sh\n")
	script.Mode, script.ModTime = 0o4750, modified
	setgid := folder("data/")
	setgid.Mode = 0o2700
	archive := tgz(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "abc"}},
		folder("./"), script, file("README", "hello"), setgid, folder("empty"),
		hard("data/again", "README"), link("data/up", "../README"), link("current", "data"), link("dangling", "not/here"),
		file("spaces and ünïcode 日本", "x"), file(strings.Repeat("d/", 90)+"deep", "y"), file(strings.Repeat("n", 255), ""),
	)
	dir, s, err := both(t, archive, wideLimits)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.SHA256) != 64 || s.PackedBytes != int64(len(archive)) {
		t.Errorf("packed: %d bytes, SHA-256 %s", s.PackedBytes, s.SHA256)
	}
	s.SHA256, s.PackedBytes = "", 0
	want := Summary{
		Files: 5, Dirs: 3 + 90, Links: 4, UnpackedBytes: 10 + 5 + 5 + 1 + 1, Dropped: 2,
		Top: []string{"README", "bin", "current", "d", "dangling", "data", "empty", strings.Repeat("n", 255), "spaces and ünïcode 日本"},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v,\nwant %+v", s, want)
	}
	for name, want := range map[string]string{
		"README": "hello", "data/again": "hello", "data/up": "hello", "current/again": "hello", "bin/run": "#!/bin/sh\n",
		strings.Repeat("d/", 90) + "deep": "y",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o755, "data": fs.ModeDir | 0o755, "d/d": fs.ModeDir | 0o755, "README": 0o644, "bin/run": 0o755,
	} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, want %v, %v", name, info.Mode(), want, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/run")); err != nil || !info.ModTime().Equal(modified) {
		t.Errorf("modified at %v, %v", info.ModTime(), err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	ok := file("ok", "x")
	cases := []struct {
		name    string
		headers []tar.Header
		want    string // the end of the message
	}{
		{"absolute", []tar.Header{file("/etc/passwd", "x")}, `entry "/etc/passwd" is absolute: pack with names relative to the folder, as tar -czf x.tgz -C FOLDER . does`},
		{"climbing", []tar.Header{file("../x", "x")}, `"../x" has ".." in its name: pack with names relative to the folder`},
		{"climbing inside", []tar.Header{file("a/../b", "x")}, `relative to the folder`},
		{"climbing folder", []tar.Header{ok, folder("a/..")}, `relative to the folder`},
		{"newline", []tar.Header{file("a\nb", "x")}, `"a\nb" has a name that has control characters`},
		{"escape", []tar.Header{file("a\x1b[2Jb", "x")}, `"a\x1b[2Jb" has a name that has control characters`},
		{"C1 control", []tar.Header{file("a\u009bb", "x")}, `has control characters`},
		{"not UTF-8", []tar.Header{file("a\xffb", "x")}, `"a\xffb" has a name that is not UTF-8`},
		{"too long", []tar.Header{file(strings.Repeat("abc/", 256)+"x", "x")}, `longer than 1024 bytes`},
		{"segment too long", []tar.Header{file(strings.Repeat("a", 256), "x")}, `has a name with more than 255 bytes between two slashes`},
		{"too deep", []tar.Header{file(strings.Repeat("a/", 100)+"x", "x")}, `is more than 100 folders deep`},
		{"root as a link", []tar.Header{ok, link("./", "ok")}, `"./" is the top folder by its name, but not a folder`},
		{"root twice", []tar.Header{ok, folder("."), folder("./")}, `"./" appears twice`},
		{"character device", []tar.Header{ok, other(tar.TypeChar, "null")}, `"null" is a device: only files, folders and links can be sent`},
		{"block device", []tar.Header{ok, other(tar.TypeBlock, "sda")}, `is a device: only files, folders and links can be sent`},
		{"FIFO", []tar.Header{ok, other(tar.TypeFifo, "pipe")}, `"pipe" is a FIFO: only files, folders and links can be sent`},
		{"another kind", []tar.Header{ok, other('7', "odd")}, `"odd" is of the kind '7': only files, folders and links can be sent`},
		{"file twice", []tar.Header{file("a", "1"), file("./a", "2")}, `"./a" appears twice`},
		{"folder twice", []tar.Header{ok, folder("a"), folder("a/")}, `"a/" appears twice`},
		{"file and folder", []tar.Header{file("a", "1"), folder("a")}, `"a" appears twice`},
		{"folder by name, then file", []tar.Header{file("a/b", "1"), file("a", "2")}, `"a" is not a folder, but other entries are below it`},
		{"folder by name, then link", []tar.Header{file("a/b", "1"), link("a", "/etc")}, `the absolute name "/etc": links must be relative and stay in the folder`},
		{"below a file", []tar.Header{file("a", "1"), file("a/b/c", "2")}, `"a/b/c" is below "a", which is not a folder`},
		{"below a link", []tar.Header{ok, folder("d"), link("a", "d"), file("a/b", "2")}, `"a/b" is below "a", which is not a folder`},
		{"link to nothing", []tar.Header{ok, link("a", "")}, `"a" is a link without a target`},
		{"link to a control character", []tar.Header{ok, link("a", "b\x01")}, `"a" is a link to a name that has control characters`},
		{"absolute link", []tar.Header{ok, link("a", "/ok")}, `links must be relative and stay in the folder`},
		{"link out", []tar.Header{ok, link("a", "..")}, `"a" is a link that leads out of the folder: links must be relative and stay in it`},
		{"link out and in again", []tar.Header{ok, link("d/a", "../../out/ok")}, `leads out of the folder: links must be relative and stay in it`},
		{"chained links", []tar.Header{ok, folder("d/e"), link("a", "d/e"), link("b", "a/../../../x")}, `"b" is a link that leads out of the folder: links must be relative and stay in it`},
		{"chained links, backwards", []tar.Header{ok, link("b", "a/../../x"), link("a", "d")}, `"b" is a link that leads out of the folder: links must be relative and stay in it`},
		{"chain of climbing links", []tar.Header{ok, link("x/a", ".."), link("x/b", "a/.."), link("c", "x/b")}, `"x/b" is a link that leads out of the folder: links must be relative and stay in it`},
		{"link to itself", []tar.Header{ok, link("a", "a")}, `"a" is a link that leads to itself, or through too many others`},
		{"links in a ring", []tar.Header{ok, link("a", "b/x"), link("b", "a/y")}, `"a" is a link that leads to itself, or through too many others`},
		{"hard link out", []tar.Header{ok, hard("a", "../../etc/passwd")}, `"a" is a hard link to "../../etc/passwd", which cannot be in the folder`},
		{"absolute hard link", []tar.Header{ok, hard("a", "/etc/passwd")}, `which cannot be in the folder`},
		{"hard link to a missing file", []tar.Header{ok, hard("a", "b")}, `"a" is a hard link to "b", but no file before it has that name`},
		{"hard link to a later file", []tar.Header{hard("a", "ok"), ok}, `but no file before it has that name`},
		{"hard link to a folder", []tar.Header{ok, folder("d"), hard("a", "d")}, `but no file before it has that name`},
		{"hard link to a link", []tar.Header{ok, link("l", "ok"), hard("a", "l")}, `but no file before it has that name`},
		{"hard link through a link", []tar.Header{file("d/f", "x"), link("l", "d"), hard("a", "l/f")}, `but no file before it has that name`},
		{"hard link to itself", []tar.Header{ok, hard("a", "a")}, `but no file before it has that name`},
		{"only folders", []tar.Header{folder("a"), folder("b")}, `the archive contains no file`},
		{"only links", []tar.Header{link("a", "b")}, `the archive contains no file`},
		{"nothing", nil, `the archive contains no file`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, s, err := both(t, tgz(t, c.headers...), wideLimits)
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.HasSuffix(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "the archive") {
				t.Errorf("got  %v,\nwant %s", err, c.want)
			}
			if !reflect.DeepEqual(s, Summary{}) {
				t.Errorf("the summary of a refused archive is %+v", s)
			}
		})
	}
}

func TestUnpackRefusesOtherFormats(t *testing.T) {
	good := tgz(t, file("a", strings.Repeat("some content, not too short ", 100)))
	plain := tarOf(t, file("a", "x"))
	changed := bytes.Clone(good)
	changed[len(changed)-8] ^= 1 // in the checksum
	for name, c := range map[string]struct {
		archive []byte
		want    string
	}{
		"empty":            {nil, "the archive is empty: send a .tgz, as tar -czf x.tgz -C FOLDER . makes it"},
		"text":             {[]byte("hello"), "the archive is not gzip: send a .tgz"},
		"zip":              {[]byte("PK\x03\x04 and so on"), "the archive is a zip file: send a .tgz"},
		"xz":               {[]byte("\xfd7zXZ\x00 and so on"), "the archive is compressed with xz: send a .tgz"},
		"plain tar":        {plain, "the archive is tar, but not compressed: send a .tgz"},
		"half a header":    {good[:5], "the archive is cut off: send it again"},
		"half":             {good[:len(good)/2], "the archive is cut off: send it again"},
		"all but a byte":   {good[:len(good)-1], "the archive is cut off: send it again"},
		"no gzip trailer":  {good[:len(good)-8], "the archive is cut off: send it again"},
		"checksum":         {changed, "the archive is not a tar archive, or is damaged (gzip: invalid checksum)"},
		"gzip of text":     {zipped(t, bytes.Repeat([]byte("hello"), 1000)), "the archive is not a tar archive, or is damaged"},
		"gzip of little":   {zipped(t, []byte("hello")), "the archive is cut off"},
		"gzip of nothing":  {zipped(t, nil), "the archive contains no file"},
		"gzip of gzip":     {zipped(t, good), "the archive is"},
		"tar cut off":      {zipped(t, plain[:512]), "the archive is cut off"},
		"garbage behind":   {append(bytes.Clone(good), "garbage that is long enough"...), "the archive is damaged, or has other data after its end"},
		"zeros behind":     {append(bytes.Clone(good), make([]byte, 100)...), "the archive is damaged, or has other data after its end"},
		"two archives":     {append(bytes.Clone(good), tgz(t, file("b", "x"))...), "the archive has data after its end"},
		"data after a tar": {zipped(t, append(bytes.Clone(plain), 1)), "the archive has data after its end"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := both(t, c.archive, wideLimits)
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// Unpack accepts what gzip and tar allow.
func TestUnpackAccepts(t *testing.T) {
	plain := tarOf(t, file("a", "x"))
	for name, archive := range map[string][]byte{
		"several gzip members": append(zipped(t, plain[:700]), zipped(t, plain[700:])...),
		"an empty member":      append(zipped(t, nil), zipped(t, plain)...),
		"padding":              zipped(t, append(bytes.Clone(plain), make([]byte, 20<<10)...)),
		"no end mark":          zipped(t, plain[:1024]),
	} {
		if _, s, err := both(t, archive, wideLimits); err != nil || s.Files != 1 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestUnpackIsWholeOrNothing(t *testing.T) {
	archive := tgz(t, file("a", "x"))
	parent := t.TempDir()
	for name, make := range map[string]func(string) error{
		"folder": func(dir string) error { return os.Mkdir(dir, 0o700) },
		"file":   func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"link":   func(dir string) error { return os.Symlink("nowhere", dir) },
	} {
		dir := filepath.Join(parent, name)
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(t.Context(), bytes.NewReader(archive), dir, wideLimits); !errors.Is(err, fs.ErrExist) {
			t.Errorf("onto a %s: %v", name, err)
		}
	}
	if _, err := Unpack(t.Context(), bytes.NewReader(archive), filepath.Join(parent, "no", "parent"), wideLimits); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a parent: %v", err)
	}
	late := filepath.Join(parent, "late") // created while the archive is read
	body := io.MultiReader(bytes.NewReader(archive), readerFunc(func([]byte) (int, error) {
		return 0, errors.Join(os.Mkdir(late, 0o700), os.WriteFile(filepath.Join(late, "x"), nil, 0o600), io.EOF)
	}))
	if _, err := Unpack(t.Context(), endsPlainly{body}, late, wideLimits); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a folder that was created meanwhile: %v", err)
	}
	cause := errors.New("the caller disconnected")
	for name, body := range map[string]io.Reader{
		"a broken body":        io.MultiReader(bytes.NewReader(archive[:40]), iotest.ErrReader(cause)),
		"a body broken at end": io.MultiReader(bytes.NewReader(archive), iotest.ErrReader(cause)),
	} {
		if _, err := Unpack(t.Context(), body, filepath.Join(parent, "x"), wideLimits); !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 4 {
		t.Errorf("left: %v, %v", left, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// endsPlainly replaces an error that wraps io.EOF by io.EOF.
type endsPlainly struct{ r io.Reader }

func (e endsPlainly) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return n, err
}

func TestUnpackEndsWithItsContext(t *testing.T) {
	archive := tgz(t, file("a", "x"), file("b", strings.Repeat("y", 1<<20)))
	for at := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		reads := 0
		body := iotest.OneByteReader(readerFunc(func(p []byte) (int, error) {
			if reads++; reads > at*20 {
				cancel()
			}
			n := copy(p, archive[reads-1:])
			return n, nil
		}))
		parent := t.TempDir()
		if _, err := Unpack(ctx, body, filepath.Join(parent, "x"), wideLimits); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d reads: %v", reads, err)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		cancel()
	}
}

func TestUnpackUnderAnyUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "x")
	if _, err := Unpack(t.Context(), bytes.NewReader(tgz(t, file("a/b/c", "x"))), dir, wideLimits); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{".": 0o755, "a": 0o755, "a/b": 0o755, "a/b/c": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, want %v, %v", name, info.Mode(), want, err)
		}
	}
}
