package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"davit/internal/blob"
	"davit/internal/task"
)

// objects is the object store in use and the ways to it.
type objects struct {
	kind    string // "folder" or "s3", human-readable
	store   blob.Store
	signer  blob.Signer
	runners http.Handler // for runners, below task.PathStore; nil: they reach the store by themselves
	public  http.Handler // of the download listener

	connections func() int // how many are open
}

// openStore opens the object store that is set.
func openStore(ctx context.Context, cfg *Config, net *listeners, secret []byte, log *slog.Logger, life *life) (*objects, error) {
	public := func() string { return downloadBase(cfg, net) }
	if cfg.S3Endpoint != "" {
		return openS3(ctx, cfg, public(), life)
	}
	folder, err := blob.NewFolder(filepath.Join(cfg.DataDir, "store"), blob.FolderOptions{
		Secret: secret, Now: time.Now, Log: log, PublicBase: public,
		RunnerBase: func() string { return "http://" + net.runnerAddr() + strings.TrimSuffix(task.PathStore, "/") },
	})
	if err != nil {
		return nil, err
	}
	life.onStop("store folder", func() { _ = folder.Close() })
	return &objects{kind: "folder", store: folder, signer: folder, runners: folder.RunnerHandler(), public: folder.PublicHandler(), connections: func() int { return 0 }}, nil
}

func openS3(ctx context.Context, c *Config, public string, life *life) (*objects, error) {
	s3, err := blob.NewS3(blob.S3Options{
		Endpoint: c.S3Endpoint, Region: c.S3Region, Bucket: c.S3Bucket, AccessKey: c.S3AccessKey, SecretKey: c.S3SecretKey,
		RunnerEndpoint: c.S3RunnerEndpoint, PublicEndpoint: public,
		DownloadAccessKey: c.S3DownloadAccessKey, DownloadSecretKey: c.S3DownloadSecretKey,
	})
	if err != nil {
		return nil, err
	}
	if err := s3.EnsureBucket(ctx); err != nil {
		return nil, err
	}
	target, err := url.Parse(withScheme(c.S3Endpoint))
	if err != nil {
		return nil, fmt.Errorf("DAVIT_S3_ENDPOINT: %w", err)
	}
	target.Path = "/" + c.S3Bucket
	life.onStop("S3 connections", func() { _ = s3.Close() })
	return &objects{kind: "s3", store: s3, signer: s3, public: blob.NewPassThrough(target), connections: s3.Connections}, nil
}

// downloadBase is the beginning of the signed URLs that anybody may use.
func downloadBase(cfg *Config, net *listeners) string {
	switch {
	case cfg.DownloadPublic != "":
		return strings.TrimSuffix(cfg.DownloadPublic, "/")
	case net.downloads != nil:
		return "http://" + net.downloads.Addr().String()
	}
	return withScheme(cfg.S3Endpoint)
}

func withScheme(endpoint string) string {
	if strings.Contains(endpoint, "://") {
		return endpoint
	}
	return "http://" + endpoint
}
