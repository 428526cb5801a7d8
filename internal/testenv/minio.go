package testenv

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// MinIO starts a MinIO for this test. It ends with the test. A start costs about half a second and
// 200 MB, so let the subtests of one test share it, each with a bucket of its own.
func MinIO(t testing.TB) *S3Server {
	t.Helper()
	program, err := lookup(os.Getenv, "DAVIT_TEST_MINIO", "minio", minioVersion)
	if err != nil {
		t.Fatal(err)
	}
	server := newS3Server()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	server.process = &process{
		t: t, name: "minio", program: program, dir: dir, ready: minioReady,
		// An environment of its own: what is set on this machine for another MinIO must not reach it.
		env: []string{
			"HOME=" + dir, "PATH=" + os.Getenv("PATH"),
			"MINIO_ROOT_USER=" + server.AccessKey, "MINIO_ROOT_PASSWORD=" + server.SecretKey,
			"MINIO_REGION=" + server.Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
		},
		args: func(host, port string) []string {
			return []string{"server", "--quiet", "--address", host + ":" + port, data}
		},
	}
	server.open()
	server.Endpoint = server.addr
	return server
}

// minioReady is nil when the server can read and write objects.
func minioReady(ctx context.Context, addr string) error {
	return healthy(ctx, "http://"+addr+"/minio/health/cluster")
}
