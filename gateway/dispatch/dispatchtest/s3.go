package dispatchtest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"davit/internal/blob"
	"davit/internal/testenv"
)

// OpenS3 makes a bucket on a real S3 server.
func OpenS3(t *testing.T) *blob.S3 {
	t.Helper()
	server := testenv.S3(t)
	s3, err := blob.NewS3(blob.S3Options{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: server.AccessKey, SecretKey: server.SecretKey, Bucket: "davit",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s3.Close() })
	if err := s3.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s3
}

// PutPart uploads a part as a runner does and returns its ETag.
func PutPart(t *testing.T, url, content string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(fmt.Errorf("part: %s", resp.Status))
	}
	return resp.Header.Get("ETag")
}
