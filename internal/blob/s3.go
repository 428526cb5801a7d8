package blob

import (
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

const (
	// smallBytes is the largest body that is kept in memory, so that it can be sent again and its checksum is known
	// before it is sent.
	smallBytes = 64 << 10
	// singlePutBytes is the largest body of one PUT on S3.
	singlePutBytes = 5 << 30
	tries          = 3
	metaSHA256     = "Sha256" // user metadata, x-amz-meta-sha256
	metaMark       = "Put"
)

// S3Options are the addresses and credentials of a store.
type S3Options struct {
	// Endpoint is the store's host[:port], or its URL without a path.
	Endpoint string
	// Region is the region in signatures; empty means us-east-1. It is never looked up.
	Region string
	// Bucket holds all objects.
	Bucket string
	// AccessKey and SecretKey may read, write, delete and list in the bucket.
	AccessKey, SecretKey string
	// Secure selects HTTPS for endpoints without a scheme.
	Secure bool
	// RunnerEndpoint and PublicEndpoint are the addresses, in Endpoint's form, at which runners and the public reach
	// the store; empty means Endpoint. This process signs URLs for them and never connects to them.
	RunnerEndpoint, PublicEndpoint string
	// DownloadAccessKey and DownloadSecretKey sign the URLs of SignGet. The key needs only the right to read results.
	// Empty means AccessKey and SecretKey.
	DownloadAccessKey, DownloadSecretKey string
}

// S3 is a Store, Signer and MultipartSigner on a bucket of any S3 server.
//
// A body of unknown size can have at most 156 GiB. Info.SHA256 is known for objects up to 64 KiB and for objects that
// were put with PutOptions.SHA256, and unknown for uploads by a signed URL.
type S3 struct {
	bucket    string
	region    string
	client    *minio.Core // for this process's own requests
	runner    *minio.Core // signs for runners
	public    *minio.Core // signs downloads
	transport *http.Transport
	dialer    *dialer // of transport
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

// notesPrefix is the prefix of the notes: each names an unfinished multipart upload. List leaves them out. They are
// needed because a restarted MinIO does not list the uploads of before unless it is asked for their key.
const notesPrefix = ".davit/uploads/"
