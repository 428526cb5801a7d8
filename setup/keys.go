package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// key is the access key of one user of a store.
type key struct {
	access, secret string
}

func readKey(dir string) (key, error) {
	access, err := os.ReadFile(filepath.Join(dir, "access-key"))
	if err != nil {
		return key{}, fmt.Errorf("read a key of the store: %w", err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, "secret-key"))
	if err != nil {
		return key{}, fmt.Errorf("read a key of the store: %w", err)
	}
	return key{strings.TrimSpace(string(access)), strings.TrimSpace(string(secret))}, nil
}

// policy says what a key may do, as an S3 policy.
type policy struct {
	name, what, text string
}

// policies returns two policies: of the gateway's key, which allows the requests that the gateway sends for its bucket,
// and of the key that signs downloads, which allows to read objects of invocations but not to list them.
func policies(bucket string) [2]policy {
	return [2]policy{
		{
			name: "davit-gateway-" + bucket, what: "the gateway's key",
			text: `{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Resource": ["arn:aws:s3:::` + bucket + `"],
   "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]},
  {"Effect": "Allow", "Resource": ["arn:aws:s3:::` + bucket + `/*"],
   "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]}
]}`,
		},
		{
			name: "davit-download-" + bucket, what: "the key that signs downloads",
			text: `{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Resource": ["arn:aws:s3:::` + bucket + `/invocations/*"], "Action": ["s3:GetObject"]}
]}`,
		},
	}
}
