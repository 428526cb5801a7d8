package local

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheProgramIsCopiedOnceByContent(t *testing.T) {
	dir := openDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"davit-runner-old", "new-123"} {
		if err := os.WriteFile(filepath.Join(dir, "bin", old), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := newBench(t, dir)
	second := newBenchBeside(t, dir, "/proc/self/exe", "127.0.0.1:1")
	if first.binary != second.binary {
		t.Fatalf("copies %s and %s", first.binary, second.binary)
	}
	info, err := os.Stat(first.binary)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Fatalf("the copy is %v, %v", info, err)
	}
	if all, _ := os.ReadDir(filepath.Join(dir, "bin")); len(all) != 1 {
		t.Fatalf("copies %v", all)
	}
}

func TestRightsThatWereTakenAwayDoNotKeepAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	openUpAll := func() {
		for _, d := range []string{"a/b", "a", "."} {
			if err := os.Chmod(filepath.Join(dir, d), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	openUpAll()
	openUp(dir)
	info, err := os.Stat(filepath.Join(dir, "a", "b"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("it is %v, %v", info, err)
	}
	openUpAll()
	if err := removeAll(dir); err != nil {
		t.Fatal(err)
	}
}
