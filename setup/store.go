package setup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// store is a MinIO to be set up.
type store struct {
	endpoint, region, bucket string
	root, gateway, download  key
	log                      *slog.Logger
}

// setUp makes the bucket and both keys, and tries the gateway's.
func (s *store) setUp(ctx context.Context) error {
	if err := persist(ctx, s.log, "the store at "+s.endpoint, s.answers); err != nil {
		return err
	}
	client, err := s.client(s.root)
	if err != nil {
		return err
	}
	if err := s.makeBucket(ctx, client); err != nil {
		return err
	}
	admin := administrator{endpoint: s.endpoint, region: s.region, key: s.root, http: http.DefaultClient}
	for i, p := range policies(s.bucket) {
		user := []key{s.gateway, s.download}[i]
		if err := admin.grant(ctx, user, p); err != nil {
			return fmt.Errorf("make %s: %w", p.what, err)
		}
	}
	return s.try(ctx)
}

// errForeign is told about stores whose keys are made in another way.
var errForeign = errors.New("it is no MinIO: make the bucket and two keys there yourself, with what `davit-setup policies` prints, " +
	"and put them into the secrets davit-store and davit-store-download")

// answers is nil when a MinIO is there that reads and writes.
func (s *store) answers(ctx context.Context) (final bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+"/minio/health/cluster", http.NoBody)
	if err != nil {
		return true, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	if err := response.Body.Close(); err != nil {
		return false, err
	}
	switch {
	case response.StatusCode == http.StatusOK && strings.HasPrefix(response.Header.Get("Server"), "MinIO"):
		return true, nil
	case response.StatusCode >= http.StatusInternalServerError:
		return false, fmt.Errorf("it answers %s", response.Status)
	}
	return true, fmt.Errorf("set the store at %s up: %w", s.endpoint, errForeign)
}

func (s *store) client(k key) (*minio.Client, error) {
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("-endpoint: %q is no http(s)://host[:port]", s.endpoint)
	}
	return minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(k.access, k.secret, ""), Secure: u.Scheme == "https", Region: s.region,
	})
}

func (s *store) makeBucket(ctx context.Context, client *minio.Client) error {
	there, err := client.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.region})
	}
	if err != nil {
		return fmt.Errorf("make the bucket %q: %w", s.bucket, err)
	}
	s.log.Info("bucket", "name", s.bucket, "made", !there)
	return nil
}

// try asks with the gateway's key what the gateway asks first.
func (s *store) try(ctx context.Context) error {
	client, err := s.client(s.gateway)
	if err != nil {
		return err
	}
	there, err := client.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = errors.New("it does not see it")
	}
	if err != nil {
		return fmt.Errorf("try the gateway's key on the bucket %q: %w", s.bucket, err)
	}
	s.log.Info("the gateway's key works", "bucket", s.bucket)
	return nil
}
