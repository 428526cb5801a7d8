package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// S3Server is a running S3 server on a folder, without TLS and without buckets. Its methods are for the goroutine of
// the test that started it.
type S3Server struct {
	*process

	// Endpoint is its host:port. A restart does not change it.
	Endpoint string
	// AccessKey and SecretKey are the keys of its root user.
	AccessKey, SecretKey string
	// Region is the region in signatures.
	Region string
}

func newS3Server() *S3Server {
	return &S3Server{AccessKey: "davit-test", SecretKey: "davit-test-secret", Region: "us-east-1"}
}

// s3Program is an S3 server program that serves a folder.
type s3Program struct {
	name, version string
	variable      string   // environment variable with the path of another program to use instead
	health        string   // path that is answered with success once objects can be read and written
	env           []string // the environment except HOME and PATH; this machine's own must not reach it
	args          func(addr, data string) []string
}

// start starts the program on a new folder.
func (s *S3Server) start(t testing.TB, p s3Program) {
	t.Helper()
	program, err := lookup(os.Getenv, p.variable, p.name, p.version)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	s.process = &process{
		t: t, name: p.name, program: program, dir: dir,
		ready: func(ctx context.Context, addr string) error {
			return healthy(ctx, "http://"+addr+p.health, http.StatusOK)
		},
		env:  append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, p.env...),
		args: func(host, port string) []string { return p.args(net.JoinHostPort(host, port), data) },
	}
	s.open()
	s.Endpoint = s.addr
}

// healthy returns nil if a GET is answered with one of these statuses.
func healthy(ctx context.Context, url string, good ...int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
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
	if !slices.Contains(good, response.StatusCode) {
		return fmt.Errorf("the health check answered %s", response.Status)
	}
	return nil
}
