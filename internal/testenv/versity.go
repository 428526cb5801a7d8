package testenv

import "testing"

const versityHealth = "/davit-test-health" // no bucket has this name

// Versity starts a versitygw for this test, a second S3 server beside MinIO. It ends with the test. The file system of
// temporary folders must have extended attributes.
func Versity(t testing.TB) *S3Server {
	t.Helper()
	s := newS3Server()
	s.start(t, s3Program{
		name: "versitygw", version: versityVersion, variable: "DAVIT_TEST_VERSITYGW", health: versityHealth,
		env: []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey},
		args: func(addr, data string) []string {
			return []string{"--port", addr, "--region", s.Region, "--health", versityHealth, "--quiet", "posix", data}
		},
	})
	return s
}
