package blob

import (
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

const (
	// smallBytes is up to what a body is held in memory: then it can be sent again, and its checksum is
	// known before it is sent.
	smallBytes = 64 << 10
	// singlePutBytes is the most that S3 takes in one PUT.
	singlePutBytes = 5 << 30
	tries          = 3
	metaSHA256     = "Sha256" // user metadata, x-amz-meta-sha256
	metaMark       = "Put"
)

// S3Options say where a store is and with what keys.
type S3Options struct {
	// Endpoint is the store's host[:port], or its URL without a path.
	Endpoint string
	// Region is what requests are signed for; empty means us-east-1. It is never looked up.
	Region string
	// Bucket holds all objects.
	Bucket string
	// AccessKey and SecretKey may read, write, delete and list in the bucket.
	AccessKey, SecretKey string
	// Secure means HTTPS for endpoints that are no URLs.
	Secure bool
	// RunnerEndpoint and PublicEndpoint are the store's other addresses (in Endpoint's form), under which
	// runners and the public reach it; empty means Endpoint. Their URLs are only signed, never called.
	RunnerEndpoint, PublicEndpoint string
	// DownloadAccessKey and DownloadSecretKey sign what SignGet gives out: a key that may only read results.
	// Empty means the main key.
	DownloadAccessKey, DownloadSecretKey string
}

// S3 is a Store, Signer and MultipartSigner on a bucket of any S3 server.
//
// A body of unknown size can have 156 GiB. SHA256 is known of objects up to 64 KiB and of those put with
// PutOptions.SHA256; of those that came by a signed URL it is not.
type S3 struct {
	bucket    string
	region    string
	client    *minio.Core // for this process's own requests
	runner    *minio.Core // signs for runners
	public    *minio.Core // signs downloads
	transport *http.Transport
}

var (
	_ Store           = (*S3)(nil)
	_ Signer          = (*S3)(nil)
	_ MultipartSigner = (*S3)(nil)
	_ UploadSweeper   = (*S3)(nil)
)

func putOptions(o PutOptions) minio.PutObjectOptions {
	options := minio.PutObjectOptions{ContentType: o.contentType(), UserMetadata: map[string]string{}}
	if o.SHA256 != "" {
		options.UserMetadata[metaSHA256] = strings.ToLower(o.SHA256)
	}
	if o.IfAbsent {
		options.UserMetadata[metaMark] = o.mark
		options.SetMatchETagExcept("*")
	}
	return options
}

// notesPrefix is where a note of each unfinished upload lies, which List does not give:
// MinIO forgets in a restart which uploads there are, and then lists only those of a
// key that it is asked for.
const notesPrefix = ".davit/uploads/"
