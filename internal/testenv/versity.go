package testenv

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

const versityHealth = "/davit-test-health" // no bucket has this name

// Versity starts a versitygw on a folder for this test: another S3 than MinIO. It ends
// with the test. The folder's file system must keep extended attributes.
func Versity(t testing.TB) *S3Server {
	t.Helper()
	program, err := lookup(os.Getenv, "DAVIT_TEST_VERSITYGW", "versitygw", versityVersion)
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
		t: t, name: "versitygw", program: program, dir: dir, ready: versityReady,
		env: []string{
			"HOME=" + dir, "PATH=" + os.Getenv("PATH"),
			"ROOT_ACCESS_KEY=" + server.AccessKey, "ROOT_SECRET_KEY=" + server.SecretKey,
		},
		args: func(host, port string) []string {
			return []string{"--port", host + ":" + port, "--region", server.Region, "--health", versityHealth, "--quiet", "posix", data}
		},
	}
	server.open()
	server.Endpoint = server.addr
	return server
}

func versityReady(ctx context.Context, addr string) error {
	return healthy(ctx, "http://"+addr+versityHealth)
}
