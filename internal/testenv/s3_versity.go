//go:build !all

package testenv

import "testing"

// S3 starts the S3 server of `make test`, a versitygw, which is compiled faster than MinIO. `make test-all` runs the
// same tests on MinIO.
func S3(t testing.TB) *S3Server {
	t.Helper()
	return Versity(t)
}
