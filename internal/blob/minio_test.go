//go:build all

package blob_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"davit/internal/blob"
	"davit/internal/blob/blobtest"
	"davit/internal/testenv"
)

func servers() map[string]func(testing.TB) *testenv.S3Server {
	return map[string]func(testing.TB) *testenv.S3Server{"minio": testenv.MinIO, "versitygw": testenv.Versity}
}

func TestS3KeepsTheContract(t *testing.T) {
	server := testenv.MinIO(t)
	blobtest.Run(t, func(t *testing.T) (blob.Store, blob.Signer) {
		store := newS3(t, server)
		return store, store
	})
}

func TestS3DownloadsAreSignedByTheDownloadKey(t *testing.T) {
	server := testenv.MinIO(t)
	o := s3Options(t, server)
	o.DownloadAccessKey, o.DownloadSecretKey = "unknown-key", "unknown-secret"
	store := openS3(t, o)
	put(t, store, "k", "x")
	public, err1 := store.SignGet(t.Context(), "k", time.Minute, blob.SignOptions{})
	runners, err2 := store.SignRunnerGet(t.Context(), "k", time.Minute)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if got, _ := fetch(t, http.MethodGet, public, ""); got != http.StatusForbidden {
		t.Errorf("a download signed by a key that the server does not know: %d", got)
	}
	if got, _ := fetch(t, http.MethodGet, runners, ""); got != http.StatusOK {
		t.Errorf("a runner's download: %d", got)
	}
}
