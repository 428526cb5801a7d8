//go:build all

package setup

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"davit/internal/blob"
	"davit/internal/testenv"
)

// folder writes a key as the manifests mount it.
func folder(t *testing.T, k key) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"access-key": k.access, "secret-key": k.secret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestStoreKeys: after the set-up, which may be repeated, the gateway's key allows what the gateway does with its
// bucket and nothing else, and the other key can read the objects of invocations.
func TestStoreKeys(t *testing.T) {
	server := testenv.MinIO(t)
	root, gateway, download := key{server.AccessKey, server.SecretKey}, key{"gateway-key", string(random(20))}, key{"download-key", string(random(20))}
	args := []string{
		"store", "-endpoint", "http://" + server.Endpoint + "/", "-bucket", "calls",
		"-root", folder(t, root), "-gateway", folder(t, gateway), "-download", folder(t, download),
	}
	for range 2 {
		if err := run(t.Context(), args, nil, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	useAsGateway(t, server, gateway, download)
	s := store{endpoint: "http://" + server.Endpoint, region: server.Region}
	as := func(k key) *minio.Client {
		client, err := s.client(k)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	if err := as(root).MakeBucket(t.Context(), "other", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	if !read(t, as(download), "calls", "invocations/1/result.zip") {
		t.Error("the key for downloads cannot read a result")
	}
	for name, try := range map[string]error{
		"the gateway makes a bucket":       as(gateway).MakeBucket(t.Context(), "third", minio.MakeBucketOptions{}),
		"the gateway writes elsewhere":     write(t, as(gateway), "other", "x"),
		"the gateway removes its bucket":   as(gateway).RemoveBucket(t.Context(), "calls"),
		"the gateway opens its bucket":     as(gateway).SetBucketPolicy(t.Context(), "calls", `{"Version": "2012-10-17", "Statement": []}`),
		"the key for downloads writes":     write(t, as(download), "calls", "invocations/1/more"),
		"the key for downloads removes":    as(download).RemoveObject(t.Context(), "calls", "invocations/1/result.zip", minio.RemoveObjectOptions{}),
		"the key for downloads sees names": list(t, as(download), "calls"),
	} {
		if minio.ToErrorResponse(try).Code != "AccessDenied" {
			t.Errorf("%s: %v, want AccessDenied", name, try)
		}
	}
	if read(t, as(download), "calls", "functions/f/1/source.tgz") {
		t.Error("the key for downloads reads sources")
	}
}

// useAsGateway does what a gateway does, with the gateway's own adapter, and leaves a result and a source.
func useAsGateway(t *testing.T, server *testenv.S3Server, gateway, download key) {
	t.Helper()
	store, err := blob.NewS3(blob.S3Options{
		Endpoint: server.Endpoint, Region: server.Region, Bucket: "calls", AccessKey: gateway.access, SecretKey: gateway.secret,
		DownloadAccessKey: download.access, DownloadSecretKey: download.secret, PublicEndpoint: "http://" + server.Endpoint,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.EnsureBucket(t.Context()); err != nil {
		t.Fatalf("the gateway finds its bucket: %v", err)
	}
	if err := store.Ready(t.Context()); err != nil {
		t.Fatalf("the gateway finds its store ready: %v", err)
	}
	for _, name := range []blob.Key{"invocations/1/result.zip", "functions/f/1/source.tgz", "invocations/2/result.zip"} {
		if _, err := store.Put(t.Context(), name, strings.NewReader("content"), 7, blob.PutOptions{}); err != nil {
			t.Fatalf("the gateway writes %s: %v", name, err)
		}
	}
	if err := store.Delete(t.Context(), "invocations/2/result.zip"); err != nil {
		t.Fatalf("the gateway removes: %v", err)
	}
	for _, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatalf("the gateway lists: %v", err)
		}
	}
	if _, err := store.StartMultipart(t.Context(), "invocations/3/result.zip"); err != nil {
		t.Fatalf("the gateway begins an upload in parts: %v", err)
	}
	if n, err := store.SweepUploads(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Fatalf("the gateway sweeps uploads: %d, %v", n, err)
	}
	address, err := store.SignGet(t.Context(), "invocations/1/result.zip", time.Minute, blob.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("a signed download: %s", response.Status)
	}
}

func read(t *testing.T, client *minio.Client, bucket, name string) bool {
	t.Helper()
	object, err := client.GetObject(t.Context(), bucket, name, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	text, err := io.ReadAll(object)
	return err == nil && len(text) > 0
}

func write(t *testing.T, client *minio.Client, bucket, name string) error {
	t.Helper()
	_, err := client.PutObject(t.Context(), bucket, name, strings.NewReader("x"), 1, minio.PutObjectOptions{})
	return err
}

func list(t *testing.T, client *minio.Client, bucket string) error {
	t.Helper()
	for object := range client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		return object.Err
	}
	return nil
}

// TestAwait: await returns when Redis and the bucket are available; else its error names what is missing, without the
// password.
func TestAwait(t *testing.T) {
	server := testenv.MinIO(t)
	address := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(address, []byte("redis://:the-password@"+testenv.Redis(t)+"/0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, gateway := key{server.AccessKey, server.SecretKey}, key{"gateway-key", string(random(20))}
	args := []string{"await", "-redis", address, "-endpoint", server.Endpoint, "-key", folder(t, gateway)}
	hasty, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := run(hasty, args, nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "the store at http://"+server.Endpoint) {
		t.Errorf("a store that is not set up: %v", err)
	}
	found := make(chan error, 1)
	go func() { found <- run(t.Context(), args, nil, io.Discard, io.Discard) }()
	s := store{
		endpoint: "http://" + server.Endpoint, region: server.Region, bucket: "davit", log: discard(),
		root: root, gateway: gateway, download: key{"download-key", string(random(20))},
	}
	if err := s.setUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-found; err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(address, []byte("redis://:the-password@127.0.0.1:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	hasty, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := run(hasty, args, nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "Redis at 127.0.0.1:1") || strings.Contains(err.Error(), "the-password") {
		t.Errorf("a Redis that is away: %v", err)
	}
}

// TestStoreFaults: a wrong password, and a store other than MinIO, are errors that say what to do; an unavailable store
// is tried again.
func TestStoreFaults(t *testing.T) {
	server := testenv.MinIO(t)
	user := key{"gateway-key", string(random(20))}
	wrong := store{
		endpoint: "http://" + server.Endpoint, region: server.Region, bucket: "calls", log: discard(),
		root: key{server.AccessKey, "not-the-secret"}, gateway: user, download: key{"download-key", string(random(20))},
	}
	if err := wrong.setUp(t.Context()); err == nil || !strings.Contains(err.Error(), `bucket "calls"`) {
		t.Errorf("a wrong password: %v", err)
	}
	admin := administrator{endpoint: wrong.endpoint, region: wrong.region, key: wrong.root, http: http.DefaultClient}
	if err := admin.grant(t.Context(), user, policies("calls")[0]); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("a wrong password to the admin API: %v", err)
	}
	wrong.endpoint = "http://" + testenv.Versity(t).Endpoint
	if err := wrong.setUp(t.Context()); err == nil || !strings.Contains(err.Error(), "davit-setup policies") {
		t.Errorf("a store that is no MinIO: %v", err)
	}
	server.Stop()
	wrong.endpoint = "http://" + server.Endpoint
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := wrong.setUp(ctx); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a store that is away: %v", err)
	}
}
