package blob_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"davit/internal/blob"
	"davit/internal/blob/blobtest"
	"davit/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestFolderKeepsTheContract(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) (blob.Store, blob.Signer) {
		folder := newFolder(t, t.TempDir())
		return folder, folder
	})
}

func TestS3OnVersityKeepsTheContract(t *testing.T) {
	server := testenv.Versity(t)
	blobtest.RunOn(t, blobtest.Server{KeepsCutUploads: true}, func(t *testing.T) (blob.Store, blob.Signer) {
		store := newS3(t, server)
		return store, store
	})
}

// onEachServer runs a test on every S3 server of this build: versitygw in `make test`, MinIO as well in `make
// test-all`.
func onEachServer(t *testing.T, test func(t *testing.T, server *testenv.S3Server)) {
	t.Helper()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

// newFolder opens a folder and serves its URLs by two servers, one for runners and one for the public.
func newFolder(t *testing.T, dir string) *blob.Folder {
	t.Helper()
	var runnerBase, publicBase string
	folder, err := blob.NewFolder(dir, blob.FolderOptions{
		Secret:     []byte("0123456789abcdef"),
		RunnerBase: func() string { return runnerBase },
		PublicBase: func() string { return publicBase + "/" },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	})
	runnerBase = serve(t, http.StripPrefix("/objects", folder.RunnerHandler())) + "/objects"
	publicBase = serve(t, folder.PublicHandler())
	return folder
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// newS3 opens a new bucket whose downloads go through NewPassThrough.
func newS3(t *testing.T, server *testenv.S3Server) *blob.S3 {
	t.Helper()
	o := s3Options(t, server)
	target := &url.URL{Scheme: "http", Host: server.Endpoint, Path: "/" + o.Bucket}
	o.PublicEndpoint = serve(t, blob.NewPassThrough(target))
	return openS3(t, o)
}

var buckets atomic.Int64

func s3Options(t *testing.T, server *testenv.S3Server) blob.S3Options {
	t.Helper()
	return blob.S3Options{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: server.AccessKey, SecretKey: server.SecretKey,
		Bucket: fmt.Sprintf("bucket-%d", buckets.Add(1)),
	}
}

func openS3(t *testing.T, o blob.S3Options) *blob.S3 {
	t.Helper()
	store, err := blob.NewS3(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(o.Bucket, "missing") {
		for range 2 { // the second time the bucket exists
			if err := store.EnsureBucket(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return store
}
