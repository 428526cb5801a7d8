package archive

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// Whatever bytes are sent, raw or as the tar inside a gzip: Unpack changes nothing outside the folder, leaves nothing
// of a refused archive and only allowed entries of an accepted one, and Check agrees.
func FuzzUnpack(f *testing.F) {
	for _, content := range goTestdata(f, "*.tar") {
		if len(content) <= 16<<10 {
			f.Add(content)
		}
	}
	f.Add(tarOf(f, folder("d"), file("d/f", "x"), link("l", "d/f"), hard("h", "d/f"), link("d/up", "../l")))
	f.Add(tarOf(f, file("f", "x"), link("a", "b/.."), link("b", "c/.."), link("c", "../..")))
	f.Add(tgz(f, file("f", "x")))
	limits := Limits{PackedBytes: 1 << 20, UnpackedBytes: 1 << 20, Entries: 100}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, archive := range [][]byte{content, zipped(t, content)} {
			unpackSafely(t, archive, limits)
		}
	})
}

func unpackSafely(t *testing.T, archive []byte, l Limits) {
	t.Helper()
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(outside, "in", "dir")
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := unpack(t.Context(), bytes.NewReader(archive), dir, l, noFlush)
	checked, checkErr := Check(t.Context(), bytes.NewReader(archive), l)
	if !reflect.DeepEqual(s, checked) || (err == nil) != (checkErr == nil) {
		t.Errorf("Unpack says %+v, %v; Check %+v, %v", s, err, checked, checkErr)
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
		t.Errorf("the file outside has the content %q, %v", got, err)
	}
	left := append(names(t, outside), names(t, filepath.Dir(dir))...)
	if err == nil {
		if want := []string{"in", "secret", "dir"}; !reflect.DeepEqual(left, want) {
			t.Errorf("the folder outside has %q, want %q", left, want)
		}
		inspect(t, dir, s)
		return
	}
	if want := []string{"in", "secret"}; !reflect.DeepEqual(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("not a refusal, or not safe to print: %q", err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]string, len(entries))
	for i, entry := range entries {
		all[i] = entry.Name()
	}
	return all
}

// inspect checks every entry that was unpacked.
func inspect(t *testing.T, dir string, s Summary) {
	t.Helper()
	found := map[fs.FileMode]int{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		found[info.Mode().Type()]++
		switch info.Mode() {
		case 0o644, 0o755, fs.ModeDir | 0o755:
		case fs.ModeSymlink | 0o777:
			return staysInside(t, dir, path)
		default:
			t.Errorf("%q has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	symlinks := found[fs.ModeSymlink]
	if found[0]+symlinks != s.Files+s.Links || found[fs.ModeDir] != s.Dirs+1 || s.Files == 0 {
		t.Errorf("found %v, summary %+v", found, s)
	}
}

// staysInside checks, with the kernel's own resolution, that a link leads to a path in the folder.
func staysInside(t *testing.T, dir, path string) error {
	t.Helper()
	to, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "not a directory") {
		return nil // its target does not exist
	}
	if err != nil {
		return err
	}
	root, err := filepath.EvalSymlinks(dir)
	if err == nil && to != root && !strings.HasPrefix(to, root+"/") {
		t.Errorf("%q leads to %q", path, to)
	}
	return err
}
