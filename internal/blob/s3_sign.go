package blob

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"
)

// SignGet implements Signer, with the download key if one is set.
func (s *S3) SignGet(ctx context.Context, key Key, ttl time.Duration, o SignOptions) (string, error) {
	params := url.Values{"response-content-disposition": {attachment(o.Filename)}}
	if o.ContentType != "" {
		params.Set("response-content-type", o.ContentType)
	}
	return s.sign(ctx, s.public, http.MethodGet, key, ttl, params)
}

// SignRunnerGet implements Signer.
func (s *S3) SignRunnerGet(ctx context.Context, key Key, ttl time.Duration) (string, error) {
	return s.sign(ctx, s.runner, http.MethodGet, key, ttl, nil)
}

// SignPut implements Signer.
func (s *S3) SignPut(ctx context.Context, key Key, ttl time.Duration) (string, error) {
	return s.sign(ctx, s.runner, http.MethodPut, key, ttl, nil)
}

// SignPart implements MultipartSigner.
func (s *S3) SignPart(ctx context.Context, key Key, uploadID string, n int, ttl time.Duration) (string, error) {
	if n < 1 || n > maxParts {
		return "", fmt.Errorf("sign part %d of object %s: parts are numbered from 1 to %d", n, quote(string(key)), maxParts)
	}
	params := url.Values{"uploadId": {uploadID}, "partNumber": {strconv.Itoa(n)}}
	return s.sign(ctx, s.runner, http.MethodPut, key, ttl, params)
}

func (s *S3) sign(
	ctx context.Context, client *minio.Core, method string, key Key, ttl time.Duration, params url.Values,
) (string, error) {
	err := cmp.Or(key.Validate(), checkTTL(ttl))
	var signed *url.URL
	if err == nil {
		signed, err = client.Presign(ctx, method, s.bucket, string(key), ttl.Truncate(time.Second), params)
	}
	if err != nil {
		return "", fmt.Errorf("sign %s of object %s: %w", method, quote(string(key)), err)
	}
	return signed.String(), nil
}
