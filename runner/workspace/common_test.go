package workspace

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestCommon shows that Clean removes what a call leaves in common folders, of any mode, and keeps what was there
// before.
func TestCommon(t *testing.T) {
	dir := t.TempDir()
	c := NewCommon([]string{dir, filepath.Join(dir, "missing")})
	write := func(path string, mode os.FileMode) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("socket-of-the-start-process", 0o600)
	if err := c.Note(); err != nil {
		t.Fatal(err)
	}
	write("left", 0o400)
	write(".hidden/deep/er", 0o600)
	if err := os.Chmod(filepath.Join(dir, ".hidden"), 0o100); err != nil {
		t.Fatal(err)
	}
	if err := c.Clean(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"socket-of-the-start-process"}; !reflect.DeepEqual(names, want) {
		t.Errorf("left: %q, want %q", names, want)
	}
}
