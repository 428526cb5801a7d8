package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"davit/internal/faas"
)

func TestBuildUnpacksOnceByContent(t *testing.T) {
	b := newBench(t, openDir(t))
	var log bytes.Buffer
	sum := sumOf(mustTGZ())
	for range 2 {
		log.Reset()
		built, err := b.Build(t.Context(), &faas.Revision{Function: "f", Number: 1, SourceSum: sum}, bytes.NewReader(mustTGZ()), &log)
		if err != nil || built.Image != "sha256:"+sum {
			t.Fatalf("built %+v, %v", built, err)
		}
	}
	for _, want := range []string{"1 files", "at the top: app.sh\n", "set-id and sticky bits were dropped from 1 entries\n"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
	info, err := os.Stat(filepath.Join(b.dir, "sources", sum, "app.sh"))
	if err != nil || info.Mode() != 0o755 || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		t.Fatalf("the file is %v, %v", info, err)
	}
	if names := b.unpacked(); len(names) != 1 || names[0] != sum {
		t.Fatalf("unpacked %q", names)
	}
}

func (b *bench) unpacked() []string {
	entries, err := os.ReadDir(filepath.Join(b.dir, "sources"))
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestBuildRefusesWhatIsNotTheSource(t *testing.T) {
	b := newBench(t, openDir(t))
	for name, c := range map[string]struct {
		sum    string
		source io.Reader
	}{
		"another one": {sumOf([]byte("another")), bytes.NewReader(mustTGZ())},
		"no archive":  {"", strings.NewReader("hello")},
		"an image":    {"", nil},
	} {
		_, err := b.Build(t.Context(), &faas.Revision{Function: "f", Number: 1, SourceSum: c.sum}, c.source, io.Discard)
		var e *faas.Error
		if !errors.As(err, &e) || e.Kind != faas.BuildFailed || e.Detail == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names := b.unpacked(); len(names) > 0 {
		t.Fatalf("unpacked %q", names)
	}
}

func TestPrepareUnpacksAgainOnce(t *testing.T) {
	b := newBench(t, openDir(t))
	opened := 0
	open := b.o.Source
	b.o.Source = func(ctx context.Context, rev *faas.Revision) (io.ReadCloser, error) {
		opened++
		return open(ctx, rev)
	}
	rev := revision("")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.Prepare(t.Context(), rev); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if opened != 1 || len(b.unpacked()) != 1 {
		t.Fatalf("opened %d times, unpacked %q", opened, b.unpacked())
	}
	away := errors.New("the store is away")
	b.o.Source = func(context.Context, *faas.Revision) (io.ReadCloser, error) { return nil, away }
	if err := b.Prepare(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	other := *rev
	other.SourceSum = sumOf([]byte("other"))
	if err := b.Launch(t.Context(), &other, "inv"); !errors.Is(err, away) {
		t.Fatalf("launched without its source: %v", err)
	}
	other.SourceSum = ""
	if err := b.Prepare(t.Context(), &other); faas.KindOf(err) != faas.Unavailable {
		t.Fatalf("prepared: %v", err)
	}
}

func TestCollectKeepsWhatIsWanted(t *testing.T) {
	b := newBench(t, openDir(t))
	if err := b.Launch(t.Context(), revision("stay"), "inv"); err != nil { // uses its source
		t.Fatal(err)
	}
	used := sumOf(mustTGZ())
	long := time.Now().Add(-2 * collectAfter)
	for _, name := range []string{"kept", "old", "young"} {
		if err := os.MkdirAll(filepath.Join(b.dir, "sources", name, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kept", "old", used} {
		if err := os.Chtimes(filepath.Join(b.dir, "sources", name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	delete(b.sources.asked, used)
	if err := b.Collect(t.Context(), func(sum string) bool { return sum == "kept" }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"kept": true, "young": true, used: true, "old": false} {
		if _, err := os.Stat(filepath.Join(b.dir, "sources", name)); errors.Is(err, fs.ErrNotExist) == want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(b.unpacked()); n != 3 {
		t.Errorf("unpacked %q", b.unpacked())
	}
}

func TestSourcesOfAnotherBootAreForgotten(t *testing.T) {
	dir := openDir(t)
	b := newBench(t, dir)
	if err := b.Prepare(t.Context(), revision("")); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if b = newBench(t, dir); len(b.unpacked()) != 1 {
		t.Fatalf("unpacked %q", b.unpacked())
	}
	b.stop()
	if err := os.WriteFile(filepath.Join(dir, "boot"), []byte("earlier"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b = newBench(t, dir); len(b.unpacked()) != 0 {
		t.Fatalf("unpacked %q", b.unpacked())
	}
}
