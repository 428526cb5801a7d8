package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// MinIOServer is a running MinIO on one folder, spoken to over plain HTTP, with no bucket yet. Its
// methods are for the goroutine of the test that started it.
type MinIOServer struct {
	*process

	// Endpoint is its host:port; it stays the same over restarts.
	Endpoint string
	// AccessKey and SecretKey are its root user's.
	AccessKey, SecretKey string
	// Region is the one that requests are signed for.
	Region string
}

// MinIO starts a MinIO for this test. It ends with the test. A start costs about half a second and
// 200 MB, so let the subtests of one test share it, each with a bucket of its own.
func MinIO(t testing.TB) *MinIOServer {
	t.Helper()
	program, err := lookup(os.Getenv, "DAVIT_TEST_MINIO", "minio", minioVersion)
	if err != nil {
		t.Fatal(err)
	}
	server := &MinIOServer{AccessKey: "davit-test", SecretKey: "davit-test-secret", Region: "us-east-1"}
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/minio/health/cluster", http.NoBody)
	if err != nil {
		return err
	}
	request.Close = true
	client := http.Client{Transport: &http.Transport{}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the health check answered %s", response.Status)
	}
	return nil
}
