package workspace

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRemoveAllNeedsAPath shows that an empty path does not mean the current folder.
func TestRemoveAllNeedsAPath(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, path := range []string{"", ".", "..", "/", "//", "kept", "./kept"} {
		if err := RemoveAll(path); err == nil {
			t.Errorf("RemoveAll(%q) was not refused", path)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Fatalf("RemoveAll(%q) removed what it should not: %v", path, err)
		}
	}
}
