package testenv

import "testing"

// MinIO starts a MinIO for this test. It ends with the test. A start takes about half a second and 200 MB, so let the
// subtests of one test share it, each with its own bucket.
func MinIO(t testing.TB) *S3Server {
	t.Helper()
	s := newS3Server()
	s.start(t, s3Program{
		name: "minio", version: minioVersion, variable: "DAVIT_TEST_MINIO", health: "/minio/health/cluster",
		env: []string{
			"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey,
			"MINIO_REGION=" + s.Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
		},
		args: func(addr, data string) []string { return []string{"server", "--quiet", "--address", addr, data} },
	})
	return s
}
