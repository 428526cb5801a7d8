package archive

import (
	"bytes"
	"compress/bzip2"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goTestdata reads the tar archives of Go's own tests whose names match the pattern.
func goTestdata(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src/archive/tar/testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives in GOROOT %s: %v", root, err)
	}
	archives := map[string][]byte{}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = bytes.NewReader(content)
		switch filepath.Ext(name) {
		case ".bz2":
			r = bzip2.NewReader(r)
		case ".base64":
			r = base64.NewDecoder(base64.StdEncoding, r)
		}
		if archives[filepath.Base(name)], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return archives
}

// Each archive of Go's tests is accepted, or refused for the right reason, and leaves nothing. An archive
// that a later release of Go adds must at least be accepted or refused.
func TestGoTestdata(t *testing.T) {
	const (
		damaged = "is not a tar archive, or is damaged"
		big     = "larger than 1073741824 bytes unpacked"
		empty   = "contains no file"
	)
	refused := map[string]string{
		"gnu-incremental.tar":           `is of the kind 'D'`,
		"gnu-multi-hdrs.tar":            empty,
		"gnu-not-utf8.tar":              "is not UTF-8",
		"gnu-sparse-big.tar.base64":     big,
		"gnu-sparse-many-zeros.tar.bz2": damaged,
		"hdr-only.tar":                  "is a FIFO",
		"issue10968.tar":                damaged,
		"issue11169.tar":                damaged,
		"issue12435.tar":                damaged,
		"neg-size.tar.base64":           damaged,
		"pax-bad-hdr-file.tar":          damaged,
		"pax-bad-hdr-large.tar.bz2":     damaged,
		"pax-bad-mtime-file.tar":        damaged,
		"pax-multi-hdrs.tar":            empty,
		"pax-nul-path.tar":              damaged,
		"pax-nul-xattrs.tar":            damaged,
		"pax-path-hdr.tar":              empty,
		"pax-sparse-big.tar.base64":     big,
		"trailing-slash.tar":            empty,
		"writer-big-long.tar.base64":    big,
		"writer-big.tar":                big,
	}
	accepted := map[string]int{ // files
		"file-and-dir.tar": 1, "gnu-long-nul.tar": 1, "gnu-nil-sparse-data.tar": 1, "gnu-nil-sparse-hole.tar": 1,
		"gnu-utf8.tar": 1, "gnu.tar": 2, "hardlink.tar": 1, "invalid-go17.tar": 1, "nil-uid.tar": 1,
		"pax-global-records.tar": 4, "pax-nil-sparse-data.tar": 1, "pax-nil-sparse-hole.tar": 1,
		"pax-pos-size-file.tar": 1, "pax-records.tar": 1, "pax.tar": 1, "sparse-formats.tar": 5, "star.tar": 2,
		"ustar-file-devs.tar": 1, "ustar-file-reg.tar": 1, "ustar.tar": 1, "v7.tar": 2, "writer.tar": 2, "xattrs.tar": 2,
	}
	found := goTestdata(t, "*.tar*")
	for name, content := range found {
		t.Run(name, func(t *testing.T) {
			_, s, err := both(t, zipped(t, content), wideLimits)
			var refusal *Refusal
			if err != nil && !errors.As(err, &refusal) {
				t.Errorf("not a refusal: %v", err)
			}
			if want, ok := refused[name]; ok && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
			if want, ok := accepted[name]; ok && (err != nil || s.Files != want) {
				t.Errorf("got %+v, %v, want %d files", s, err, want)
			}
		})
	}
	if len(found) < len(refused)+len(accepted) {
		t.Errorf("only %d archives were found", len(found))
	}
}

// Sparse files of all formats are unpacked with their zeros.
func TestSparseFilesAreFilledIn(t *testing.T) {
	dir, _, err := both(t, zipped(t, goTestdata(t, "sparse-formats.tar")["sparse-formats.tar"]), wideLimits)
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(dir, "sparse-gnu"))
	if err != nil || len(first) != 200 || !bytes.Contains(first, make([]byte, 10)) || len(bytes.Trim(first, "\x00")) == 0 {
		t.Errorf("sparse-gnu: %d bytes %q, %v", len(first), first, err)
	}
	for _, name := range []string{"sparse-posix-0.0", "sparse-posix-0.1", "sparse-posix-1.0"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, first) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}
