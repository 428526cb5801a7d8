//go:build all

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
	if err := os.Mkdir(dir, 0o711); err != nil {
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

// TestRunnersMayReadSources: sources belong to root, and only runners may enter their folder.
func TestRunnersMayReadSources(t *testing.T) {
	b := newBench(t, openDir(t))
	info, err := os.Stat(filepath.Join(b.dir, "sources"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o750 || owner.Uid != 0 || owner.Gid != RunnerUID {
		t.Fatalf("the sources are %v of %d:%d", info.Mode(), owner.Uid, owner.Gid)
	}
}
