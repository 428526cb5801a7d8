//go:build all

package testenv

import "testing"

// S3 starts the S3 server of `make test-all`, a MinIO.
func S3(t testing.TB) *S3Server {
	t.Helper()
	return MinIO(t)
}
