package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// key is the access to a store that one user has.
type key struct {
	access, secret string
}

func readKey(dir string) (key, error) {
	access, err := os.ReadFile(filepath.Join(dir, "access-key")) //nolint:gosec // the operator names the folder
	if err != nil {
		return key{}, fmt.Errorf("read a key of the store: %w", err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, "secret-key")) //nolint:gosec // as above
	if err != nil {
		return key{}, fmt.Errorf("read a key of the store: %w", err)
	}
	return key{strings.TrimSpace(string(access)), strings.TrimSpace(string(secret))}, nil
}

// policy is what a key may do, in the language of S3.
type policy struct {
	name, what, text string
}

// policies are the gateway's, which is all that it does with its own bucket, and
// the one for downloads: what calls left there can be read, by those who were given the name.
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
