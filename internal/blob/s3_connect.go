package blob

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func (o S3Options) connect(endpoint, access, secret string, transport http.RoundTripper) (*minio.Core, error) {
	host, secure, err := splitEndpoint(endpoint, o.Secure)
	if err != nil {
		return nil, err
	}
	return minio.NewCore(host, &minio.Options{
		Creds:      credentials.NewStaticV4(access, secret, ""),
		Secure:     secure,
		Region:     o.Region, // set, so that signing makes no request
		Transport:  transport,
		MaxRetries: tries,
	})
}

// splitEndpoint parses host[:port] or a URL without a path.
func splitEndpoint(endpoint string, secure bool) (host string, https bool, err error) {
	if !strings.Contains(endpoint, "://") {
		if endpoint == "" || strings.ContainsAny(endpoint, "/?#@ ") {
			return "", false, fmt.Errorf("endpoint %q is neither host[:port] nor a URL", endpoint)
		}
		return endpoint, secure, nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return "", false, fmt.Errorf("endpoint %q: %w", endpoint, err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", false, fmt.Errorf("endpoint %q: neither http nor https", endpoint)
	case u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return "", false, fmt.Errorf("endpoint %q: it must be a scheme, a host and a port only", endpoint)
	}
	return u.Host, u.Scheme == "https", nil
}

// noNetwork is the transport of clients that only sign.
type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this client only signs")
}
