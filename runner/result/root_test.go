//go:build all

package result

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCollectRefusesADevice makes a device, which only root can.
func TestCollectRefusesADevice(t *testing.T) {
	root, dir := workspace(t, map[string]string{"a.txt": "a"})
	must(t, unix.Mknod(filepath.Join(dir, "null.txt"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	files, err := Collect(root, []string{"*.txt"}, 0)
	if err != nil || len(files) != 1 || files[0].Path != "a.txt" {
		t.Errorf("beside a device: got %v, %v", files, err)
	}
	_, err = Collect(root, []string{"null.txt"}, 0)
	if fault, is := errors.AsType[*Error](err); !is || !strings.Contains(fault.Detail, "no regular file") {
		t.Errorf("a device: got %v", err)
	}
}
