package blob_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"davit/internal/blob"
)

const helperVariable = "BLOB_TEST_HELPER_DIR"

// A process that is killed in the middle of a Put leaves no object. The next open removes its unfinished file, but not
// while the process lives.
func TestFolderKilledInTheMiddleOfAPut(t *testing.T) {
	dir := t.TempDir()
	helper := startHelper(t, dir, "half a put")
	unfinished := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "tmp", "*", "1"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n := unfinished(); n != 1 {
		t.Fatalf("%d unfinished files, want 1", n)
	}
	folder := newFolder(t, dir)
	if n := unfinished(); n != 1 {
		t.Errorf("opening the folder again left %d unfinished files of a living process, want 1", n)
	}
	if err := helper.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait() // killed
	newFolder(t, dir)
	if n := unfinished(); n != 0 {
		t.Errorf("%d unfinished files of a dead process are left", n)
	}
	for info, err := range folder.List(t.Context(), "", "") {
		t.Errorf("listed: %+v, %v", info, err)
	}
	put(t, folder, "k", "x") // the first Folder still works
}

func TestFolderDiskFull(t *testing.T) {
	dir := t.TempDir()
	helper := startHelper(t, dir, "full")
	if err := helper.Wait(); err != nil {
		t.Errorf("the helper: %v", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	if err != nil || len(found) != 0 {
		t.Errorf("left: %v, %v", found, err)
	}
}

func startHelper(t *testing.T, dir, what string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelper$", "-test.v")
	cmd.Env = append(os.Environ(), helperVariable+"="+dir, "BLOB_TEST_HELPER="+what)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "helper: ready") {
			return cmd
		}
	}
	t.Fatal("the helper ended")
	return nil
}

// TestHelper is not a test, but the process that the tests above start.
func TestHelper(t *testing.T) {
	dir := os.Getenv(helperVariable)
	if dir == "" {
		return
	}
	folder, err := blob.NewFolder(dir, blob.FolderOptions{Secret: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	ready := func() { _, _ = fmt.Fprintln(os.Stdout, "helper: ready") }
	if os.Getenv("BLOB_TEST_HELPER") == "full" {
		putOnFullDisk(t, folder)
		ready()
		return
	}
	begun := false
	body := readerFunc(func(p []byte) (int, error) {
		if begun {
			ready()
			select {} // until it is killed
		}
		begun = true
		return copy(p, "half"), nil
	})
	_, err = folder.Put(context.Background(), "k", body, 8, blob.PutOptions{})
	t.Errorf("put: %v", err)
}

func putOnFullDisk(t *testing.T, folder *blob.Folder) {
	t.Helper()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	_, err := folder.Put(t.Context(), "k", bytes.NewReader(make([]byte, 1<<20)), 1<<20, blob.PutOptions{})
	if !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	if err := folder.Close(); err != nil {
		t.Error(err)
	}
}
