package blob_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"davit/internal/blob"
)

// A Put under functions/ syncs the folders too, a Put under invocations/ only the file.
func BenchmarkFolderPut1KiB(b *testing.B) {
	for _, prefix := range []string{"functions", "invocations"} {
		for _, fresh := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/newFolders=%t", prefix, fresh), func(b *testing.B) {
				folder := benchFolder(b)
				content := make([]byte, 1<<10)
				n := 0
				for b.Loop() {
					key := blob.Key(fmt.Sprintf("%s/same/%d", prefix, n))
					if fresh {
						key = blob.Key(fmt.Sprintf("%s/%d/1/input", prefix, n))
					}
					n++
					if _, err := folder.Put(b.Context(), key, bytes.NewReader(content), 1<<10, blob.PutOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkFolderGet1KiB(b *testing.B) {
	folder := benchFolder(b)
	if _, err := folder.Put(b.Context(), "a/b/c", bytes.NewReader(make([]byte, 1<<10)), 1<<10, blob.PutOptions{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, _, err := folder.Get(b.Context(), "a/b/c", 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFolderPut64MiB(b *testing.B) {
	folder := benchFolder(b)
	content := make([]byte, 64<<20)
	b.SetBytes(64 << 20)
	for b.Loop() {
		if _, err := folder.Put(b.Context(), "k", bytes.NewReader(content), 64<<20, blob.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	folder := benchFolder(b)
	s3, err := blob.NewS3(blob.S3Options{Endpoint: "127.0.0.1:1", Bucket: "bucket", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		b.Fatal(err)
	}
	for name, signer := range map[string]blob.Signer{"folder": folder, "s3": s3} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := signer.SignPut(b.Context(), "invocations/x/1/result.zip", time.Hour); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchFolder(b *testing.B) *blob.Folder {
	b.Helper()
	base := func() string { return "http://127.0.0.1:8082/objects" }
	folder, err := blob.NewFolder(b.TempDir(), blob.FolderOptions{
		Secret: []byte("0123456789abcdef"), RunnerBase: base, PublicBase: base,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := folder.Close(); err != nil {
			b.Error(err)
		}
	})
	return folder
}
