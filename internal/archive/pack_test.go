package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// source makes a folder with such modes and times. They must not change the packed bytes.
func source(t *testing.T, mode fs.FileMode, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "b", "empty"), 0o700),
		os.WriteFile(filepath.Join(dir, "b", "run.sh"), []byte("#!/bin/sh\n"), mode|0o100),
		os.WriteFile(filepath.Join(dir, "a ünï.txt"), []byte(strings.Repeat("x", 100_000)), mode),
		os.WriteFile(filepath.Join(dir, "b-"), nil, mode),
		os.Symlink("b/run.sh", filepath.Join(dir, "run")),
		os.Link(filepath.Join(dir, "b-"), filepath.Join(dir, "c")),
		os.Chtimes(filepath.Join(dir, "b-"), at, at),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPackIsDeterministic(t *testing.T) {
	var first, second bytes.Buffer
	err := errors.Join(
		Pack(t.Context(), source(t, 0o600, time.Unix(1, 0)), &first),
		Pack(t.Context(), source(t, 0o664, time.Unix(2, 0)), &second),
	)
	if err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("two packs of one content differ, %v", err)
	}
	gz, err := gzip.NewReader(&first)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name+" "+fs.FileMode(h.Mode).String())
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s: %+v", h.Name, h)
		}
	}
	want := "a ünï.txt -rw-r--r--, b/ -rwxr-xr-x, b/empty/ -rwxr-xr-x, b/run.sh -rwxr-xr-x, b- -rw-r--r--, c -rw-r--r--, run -rwxr-xr-x"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s,\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestPackedCanBeUnpacked(t *testing.T) {
	var packed bytes.Buffer
	if err := Pack(t.Context(), source(t, 0o600, time.Unix(1, 0)), &packed); err != nil {
		t.Fatal(err)
	}
	dir, s, err := both(t, packed.Bytes(), wideLimits)
	if err != nil || s.Files != 4 || s.Dirs != 2 || s.Links != 1 || s.UnpackedBytes != 100_010 {
		t.Errorf("%+v, %v", s, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "run")); err != nil || string(got) != "#!/bin/sh\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPackRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Pack(t.Context(), dir, io.Discard); err == nil || !strings.Contains(err.Error(), `"pipe" is neither a file nor a folder nor a link`) {
		t.Errorf("a FIFO: %v", err)
	}
	if err := Pack(t.Context(), filepath.Join(dir, "nowhere"), io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Pack(ctx, source(t, 0o600, time.Unix(1, 0)), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	full := errors.New("disk full")
	if err := Pack(t.Context(), source(t, 0o600, time.Unix(1, 0)), failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("a broken writer: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
