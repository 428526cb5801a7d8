package local

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestChooseDirTakesWhatRunnersReach(t *testing.T) {
	open := openDir(t)
	if dir, err := ChooseDir(open); err != nil || dir != filepath.Join(open, "run") {
		t.Fatalf("chose %q, %v", dir, err)
	}
	if dir, err := ChooseDir(filepath.Join(open, "missing")); err != nil || !strings.HasPrefix(dir, "/var/tmp/davit-") {
		t.Fatalf("chose %q, %v", dir, err) // what is not there yet cannot be judged
	} else {
		removeLater(t, dir)
	}
	closed := filepath.Join(open, "closed")
	if err := os.MkdirAll(filepath.Join(closed, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	var before string
	for range 2 { // the second time it is there
		dir, err := ChooseDir(filepath.Join(closed, "data"))
		if err != nil || !strings.HasPrefix(dir, "/var/tmp/davit-") || before != "" && dir != before {
			t.Fatalf("chose %q after %q, %v", dir, before, err)
		}
		removeLater(t, dir)
		info, err := os.Lstat(dir)
		if err != nil || info.Mode().Perm() != 0o711 || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Fatalf("%s is %v, %v", dir, info, err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		before = dir
	}
}

func TestChooseDirTrustsNobody(t *testing.T) {
	closed := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := ChooseDir(closed)
	if err != nil {
		t.Fatal(err)
	}
	removeLater(t, dir)
	for what, prepare := range map[string]func() error{
		"a link":       func() error { return os.Symlink("/etc", dir) },
		"a file":       func() error { return os.WriteFile(dir, nil, 0o600) },
		"another's":    func() error { return mkdirFor(dir, RunnerUID) },
		"a stranger's": func() error { return mkdirFor(dir, 1000) },
	} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		if got, err := ChooseDir(closed); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: chose %q, %v", what, got, err)
		}
	}
}

func mkdirFor(dir string, uid int) error {
	if err := os.Mkdir(dir, 0o711); err != nil { //nolint:gosec // as others would
		return err
	}
	return os.Chown(dir, uid, uid)
}

func removeLater(t *testing.T, dir string) {
	t.Helper()
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
}

func TestAFolderThatRunnersCannotReachIsRefused(t *testing.T) {
	closed := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{RunnerBinary: "/proc/self/exe", Dir: filepath.Join(closed, "run")}); err == nil || !strings.Contains(err.Error(), "cannot reach it") {
		t.Fatalf("made: %v", err)
	}
	if _, err := New(Options{RunnerBinary: "/no/such/program", Dir: openDir(t)}); err == nil || !strings.Contains(err.Error(), "open the runner program") {
		t.Fatalf("made: %v", err)
	}
}

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
