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

// store is the MinIO to set up.
type store struct {
	endpoint, region, bucket string
	root, gateway, download  key
	log                      *slog.Logger
}

// setUp makes the bucket and both keys, and tests the gateway's.
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

// errNotMinIO is the error for other stores, because their keys are made in another way.
var errNotMinIO = errors.New("it is not MinIO: make the bucket and two keys there yourself, with what `davit-setup policies` prints, " +
	"and put them into the secrets davit-store and davit-store-download")

// answers returns nil if the store is a MinIO that is ready for reads and writes.
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
	return true, fmt.Errorf("set up the store at %s: %w", s.endpoint, errNotMinIO)
}

func (s *store) client(k key) (*minio.Client, error) {
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("-endpoint: %q is not http(s)://host[:port]", s.endpoint)
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

// try sends the first request of a gateway, with the gateway's key.
func (s *store) try(ctx context.Context) error {
	client, err := s.client(s.gateway)
	if err != nil {
		return err
	}
	there, err := client.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = errors.New("the key cannot see it")
	}
	if err != nil {
		return fmt.Errorf("try the gateway's key on the bucket %q: %w", s.bucket, err)
	}
	s.log.Info("the gateway's key works", "bucket", s.bucket)
	return nil
}
