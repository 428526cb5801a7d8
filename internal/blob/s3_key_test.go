//go:build all

package blob_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"davit/internal/blob"
	"davit/internal/testenv"
)

// downloadPolicy is the policy that the README gives for the download key.
const downloadPolicy = `{"Version": "2012-10-17", "Statement": [
	{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::%s/invocations/*/result.zip"]}]}`

// addKey adds a key with a policy to a MinIO. It calls the admin API by itself, because the licence of MinIO's own
// client for that API does not fit Davit's.
func addKey(t *testing.T, server *testenv.S3Server, access, secret, policy string) {
	t.Helper()
	account, err := json.Marshal(map[string]any{"accessKey": access, "secretKey": secret, "policy": json.RawMessage(policy)})
	if err != nil {
		t.Fatal(err)
	}
	body := encrypt(t, server.SecretKey, account)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+server.Endpoint+"/minio/admin/v3/add-service-account", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	request = signer.SignV4(*request, server.AccessKey, server.SecretKey, "", server.Region)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("add a key: %s %s", response.Status, text)
	}
}

// encrypt encrypts data as MinIO's admin API wants it: salt, the number of the method, nonce, and the data as the only
// fragment of a stream.
func encrypt(t *testing.T, password string, data []byte) []byte {
	t.Helper()
	head := make([]byte, 32+1+8)
	_, _ = rand.Read(head) // never fails
	head[32] = 2           // PBKDF2 and AES-GCM
	key, err := pbkdf2.Key(sha256.New, password, head[:32], 8192, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(bytes.Clone(head[33:]), n) }
	last := gcm.Seal([]byte{0x80}, nonce(0), nil, nil)
	return gcm.Seal(head, nonce(1), data, last)
}

// The store itself refuses every request with the download key except the download of a result.
func TestS3DownloadKeyCanDoNothingElse(t *testing.T) {
	server := testenv.MinIO(t)
	o := s3Options(t, server)
	target := &url.URL{Scheme: "http", Host: server.Endpoint, Path: "/" + o.Bucket}
	o.PublicEndpoint = serve(t, blob.NewPassThrough(target))
	o.DownloadAccessKey, o.DownloadSecretKey = "download-key", "download-secret"
	store := openS3(t, o)
	addKey(t, server, o.DownloadAccessKey, o.DownloadSecretKey, fmt.Sprintf(downloadPolicy, o.Bucket))
	const result = "invocations/0198/1/result.zip"
	others := []blob.Key{"invocations/0198/input", "invocations/0198/1/log", "invocations/0198/1/outcome.json", "functions/f/1/source.tgz", "result.zip"}
	for _, key := range append(others, result) {
		put(t, store, key, "content")
	}

	address, err := store.SignGet(t.Context(), result, time.Minute, blob.SignOptions{Filename: "x.zip"})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(t, http.MethodGet, address, ""); status != http.StatusOK {
		t.Errorf("the result: %d", status)
	}
	for _, key := range others {
		address, err := store.SignGet(t.Context(), key, time.Minute, blob.SignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := fetch(t, http.MethodGet, address, ""); status != http.StatusForbidden {
			t.Errorf("%s: %d", key, status)
		}
	}

	stolen := o
	stolen.AccessKey, stolen.SecretKey = o.DownloadAccessKey, o.DownloadSecretKey
	thief, err := blob.NewS3(stolen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = thief.Close() })
	for what, err := range thefts(t, thief, result) {
		if !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	uploads, err := thief.SignPut(t.Context(), result, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(t, http.MethodPut, uploads, "other"); status != http.StatusForbidden {
		t.Errorf("a signed PUT: %d", status)
	}
	for _, key := range append(others, result) {
		if got := read(t, store, key); got != "content" {
			t.Errorf("%s: got content %q", key, got)
		}
	}
}

// thefts tries everything else with the download key, and returns the error of each try.
func thefts(t *testing.T, thief *blob.S3, result blob.Key) map[string]error {
	t.Helper()
	_, putErr := thief.Put(t.Context(), result, strings.NewReader("other"), 5, blob.PutOptions{})
	_, newErr := thief.Put(t.Context(), "invocations/1/1/result.zip", strings.NewReader("x"), 1, blob.PutOptions{})
	_, partsErr := thief.StartMultipart(t.Context(), result)
	_, _, getErr := thief.Get(t.Context(), "functions/f/1/source.tgz", 0, -1)
	_, statErr := thief.Stat(t.Context(), "invocations/0198/input")
	_, sweepErr := thief.SweepUploads(t.Context(), time.Now())
	var listErr error
	for _, listErr = range thief.List(t.Context(), "invocations/", "") {
		if listErr != nil {
			break
		}
	}
	return map[string]error{
		"replace": putErr, "put": newErr, "put in parts": partsErr, "get another": getErr, "stat another": statErr,
		"sweep": sweepErr, "list": listErr, "delete": thief.Delete(t.Context(), result), "ensure bucket": thief.EnsureBucket(t.Context()),
	}
}
