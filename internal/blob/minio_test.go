//go:build all

package blob_test

import (
	"testing"

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
