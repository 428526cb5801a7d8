package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The archive has many small files, like a source with its dependencies.
func BenchmarkUnpack(b *testing.B) {
	const files = 10_000
	headers := make([]tar.Header, files)
	for i := range headers {
		headers[i] = file(fmt.Sprintf("node_modules/package-%d/lib/%d.js", i/20, i), strings.Repeat("content ", 200))
	}
	archive := tgz(b, headers...)
	for name, flush := range map[string]func(*os.Root) error{"sync=true": syncFileSystem, "sync=false": noFlush} {
		b.Run(name, func(b *testing.B) {
			parent, n := b.TempDir(), 0
			for b.Loop() {
				n++
				if _, err := unpack(b.Context(), bytes.NewReader(archive), filepath.Join(parent, fmt.Sprint(n)), wideLimits, flush); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if _, err := Check(b.Context(), bytes.NewReader(archive), wideLimits); err != nil {
				b.Fatal(err)
			}
		}
	})
}
