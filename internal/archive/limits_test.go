package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"davit/internal/testenv"
)

func TestLimits(t *testing.T) {
	three := tgz(t, file("a", "12345"), file("b", "12345"), file("c/d", "1"))
	linked := tgz(t, file("a", strings.Repeat("x", 1000)), hard("b", "a"), hard("c", "b"))
	deep := tgz(t, file("a/b/c/d", "x"))
	global := tgz(t, file("a", "x"), tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}})
	for name, c := range map[string]struct {
		archive []byte
		limits  Limits
		want    string // empty: accepted
	}{
		"none":                       {three, Limits{}, ""},
		"packed, just":               {three, Limits{PackedBytes: int64(len(three))}, ""},
		"packed":                     {three, Limits{PackedBytes: int64(len(three)) - 1}, "bytes packed, which is the limit"},
		"packed, little":             {three, Limits{PackedBytes: 1}, "the archive is larger than 1 bytes packed, which is the limit"},
		"unpacked, just":             {three, Limits{UnpackedBytes: 11}, ""},
		"unpacked":                   {three, Limits{UnpackedBytes: 10}, `entry "c/d" makes the archive larger than 10 bytes unpacked, which is the limit`},
		"hard links count, just":     {linked, Limits{UnpackedBytes: 3000}, ""},
		"hard links count":           {linked, Limits{UnpackedBytes: 2999}, `entry "c" makes the archive larger than 2999 bytes unpacked, which is the limit`},
		"entries, just":              {three, Limits{Entries: 4}, ""},
		"entries":                    {three, Limits{Entries: 3}, "the archive has more than 3 entries, which is the limit"},
		"parents count, just":        {deep, Limits{Entries: 4}, ""},
		"parents count":              {deep, Limits{Entries: 3}, "the archive has more than 3 entries, which is the limit"},
		"global headers count, just": {global, Limits{Entries: 2}, ""},
		"global headers count":       {global, Limits{Entries: 1}, "the archive has more than 1 entries, which is the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := both(t, c.archive, c.limits)
			var refusal *Refusal
			if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &refusal) || !strings.HasSuffix(err.Error(), c.want)) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// bomb streams the archive that write writes, so that it is never in memory.
func bomb(t *testing.T, write func(w *tar.Writer) error) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { _ = r.Close() })
	go func() {
		gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err == nil {
			err = write(tar.NewWriter(gz))
		}
		if err == nil {
			err = gz.Close()
		}
		_ = w.CloseWithError(err)
	}()
	return r
}

// An archive that is small packed and large unpacked is refused at a limit, soon and with little memory.
func TestBombs(t *testing.T) {
	limits := Limits{PackedBytes: 8 << 20, UnpackedBytes: 8 << 20, Entries: 4000}
	for name, c := range map[string]struct {
		write func(*tar.Writer) error
		want  string
	}{
		"zeros": {func(w *tar.Writer) error {
			err := w.WriteHeader(&tar.Header{Name: "a", Size: 1 << 40, Typeflag: tar.TypeReg})
			return errors.Join(err, endless(w))
		}, `entry "a" makes the archive larger than`},
		"entries": {func(w *tar.Writer) error {
			for i := 0; ; i++ {
				if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeReg}); err != nil {
					return err
				}
			}
		}, "has more than 4000 entries"},
		"parents": {func(w *tar.Writer) error {
			for i := 0; ; i++ {
				name := fmt.Sprint(i) + strings.Repeat("/d", 90) + "/f"
				if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg}); err != nil {
					return err
				}
			}
		}, "has more than 4000 entries"},
		"attributes": {func(w *tar.Writer) error {
			for i := 0; ; i++ {
				records := map[string]string{"VENDOR.x": strings.Repeat("x", 900<<10)}
				if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeReg, PAXRecords: records}); err != nil {
					return err
				}
			}
		}, "bytes unpacked"},
		"links through links": {func(w *tar.Writer) error {
			// Each link goes through 39 others, on a long path.
			detour := strings.Repeat("d/../", 190)
			err := w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg})
			for i := range 3900 {
				target := detour + fmt.Sprintf("l%d", i+1)
				if i%38 == 37 {
					target = "f"
				}
				h := tar.Header{Name: fmt.Sprintf("l%d", i), Typeflag: tar.TypeSymlink, Linkname: target}
				err = errors.Join(err, w.WriteHeader(&h))
			}
			return errors.Join(err, w.Close())
		}, "many links that lead through one another: unpack and pack without them"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var err error
			testenv.Returns(t, 30*time.Second, "Check", func() { _, err = Check(t.Context(), bomb(t, c.write), limits) })
			runtime.GC()
			runtime.ReadMemStats(&after)
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 96<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}

func endless(w io.Writer) error {
	zeros := make([]byte, 64<<10)
	for {
		if _, err := w.Write(zeros); err != nil {
			return err
		}
	}
}

// Zeros after the end are padding, up to the limit.
func TestPaddingIsBounded(t *testing.T) {
	r, w := io.Pipe()
	defer func() { _ = r.Close() }()
	go func() {
		gz := gzip.NewWriter(w)
		_, err := gz.Write(tarOf(t, file("a", "x")))
		_ = w.CloseWithError(errors.Join(err, endless(gz)))
	}()
	_, err := Check(t.Context(), r, Limits{UnpackedBytes: 1 << 20, Entries: 10})
	if err == nil || !strings.Contains(err.Error(), "bytes unpacked, which is the limit") {
		t.Errorf("got %v", err)
	}
}

// The names of an archive have a limit of their own, because they are kept in memory.
func TestNamesAreBounded(t *testing.T) {
	a := &reader{ctx: t.Context(), to: discard{}, tree: newTree()}
	name := strings.Repeat(strings.Repeat("n", 250)+"/", 4)
	var err error
	for i := 0; err == nil; i++ {
		err = a.entry(&tar.Header{Name: fmt.Sprintf("%s%d", name, i), Typeflag: tar.TypeSymlink, Linkname: "x"}, nil)
	}
	if !strings.Contains(err.Error(), "has names of more than 67108864 bytes together") {
		t.Errorf("got %v", err)
	}
}

func TestHardLinksAreBounded(t *testing.T) {
	headers := []tar.Header{file("f", "")}
	for i := range maxHardLinks {
		headers = append(headers, hard(fmt.Sprint(i), "f"))
	}
	if _, err := Check(t.Context(), bytes.NewReader(tgz(t, headers[:maxHardLinks]...)), wideLimits); err != nil {
		t.Error(err)
	}
	_, err := Check(t.Context(), bytes.NewReader(tgz(t, headers...)), wideLimits)
	if err == nil || !strings.Contains(err.Error(), "is one of more than 10000 hard links") {
		t.Errorf("got %v", err)
	}
}
