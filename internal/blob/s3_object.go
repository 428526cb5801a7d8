package blob

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// NewS3 returns the store of a bucket. It sends no request to the server: EnsureBucket and Ready do.
func NewS3(o S3Options) (*S3, error) {
	o.Region = cmp.Or(o.Region, "us-east-1")
	if o.Bucket == "" {
		return nil, errors.New("open S3 store: no bucket is named")
	}
	s := &S3{bucket: o.Bucket, region: o.Region, dialer: &dialer{}}
	s.transport = newTransport(s.dialer)
	var err error
	if s.client, err = o.connect(o.Endpoint, o.AccessKey, o.SecretKey, s.transport); err != nil {
		return nil, fmt.Errorf("open S3 store: %w", err)
	}
	runnerEndpoint := cmp.Or(o.RunnerEndpoint, o.Endpoint)
	if s.runner, err = o.connect(runnerEndpoint, o.AccessKey, o.SecretKey, noNetwork{}); err != nil {
		return nil, fmt.Errorf("open S3 store for runners: %w", err)
	}
	access, secret := o.AccessKey, o.SecretKey
	if o.DownloadAccessKey != "" {
		access, secret = o.DownloadAccessKey, o.DownloadSecretKey
	}
	if s.public, err = o.connect(cmp.Or(o.PublicEndpoint, o.Endpoint), access, secret, noNetwork{}); err != nil {
		return nil, fmt.Errorf("open S3 store for downloads: %w", err)
	}
	return s, nil
}

func newTransport(d *dialer) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           d.dial,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   64,
		DisableCompression:    true, // the bytes are the object's
	}
}

// Close closes idle connections. The store must not be in use any more.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// EnsureBucket makes the bucket unless it exists.
func (s *S3) EnsureBucket(ctx context.Context) error {
	found, err := s.client.BucketExists(ctx, s.bucket)
	if err == nil && !found {
		err = s.client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.region})
		if minio.ToErrorResponse(err).Code == minio.BucketAlreadyOwnedByYou {
			err = nil // another process has made it meanwhile
		}
	}
	if err != nil {
		return fmt.Errorf("make bucket %q: %w", s.bucket, translateS3(ctx, err))
	}
	return nil
}

// Ready implements Store: it checks that the bucket exists.
func (s *S3) Ready(ctx context.Context) error {
	found, err := s.client.BucketExists(ctx, s.bucket)
	if err == nil && !found {
		err = minio.ErrorResponse{Code: minio.NoSuchBucket, Message: "the bucket does not exist"}
	}
	if err != nil {
		return fmt.Errorf("check bucket %q: %w", s.bucket, translateS3(ctx, err))
	}
	return nil
}

// Put implements Store.
func (s *S3) Put(ctx context.Context, key Key, r io.Reader, size int64, o PutOptions) (Info, error) {
	info, err := s.put(ctx, key, r, size, o)
	if err != nil {
		return Info{}, fmt.Errorf("put object %s: %w", quote(string(key)), err)
	}
	return info, nil
}

func (s *S3) put(ctx context.Context, key Key, r io.Reader, size int64, o PutOptions) (Info, error) {
	if err := cmp.Or(key.Validate(), o.check(), ctx.Err()); err != nil {
		return Info{}, err
	}
	if o.IfAbsent { // saves the upload; on a server without conditional writes it is the only check
		switch _, err := s.stat(ctx, key); {
		case err == nil:
			return Info{}, ErrExists
		case !errors.Is(err, ErrNotFound):
			return Info{}, err
		}
		o.mark = rand.Text()
	}
	b := newBody(ctx, r, size, o.SHA256)
	uploaded, err := s.upload(ctx, key, b, o)
	if bodyErr := b.stop(); bodyErr != nil {
		return Info{}, bodyErr
	}
	if err != nil {
		return s.resolveIfAbsent(ctx, key, o, translateS3(ctx, err))
	}
	return Info{
		Key: key, Size: b.read, ETag: uploaded.ETag, ContentType: o.contentType(),
		ModifiedAt: uploaded.LastModified.UTC(), SHA256: b.sum(),
	}, nil
}

// resolveIfAbsent decides, after an error of a Put with IfAbsent, whether that Put has stored the object. The error
// alone does not say it: a server that refuses before it has read the body may close the connection before the refusal
// arrives, and a refusal may answer the second try of a Put whose first try succeeded.
func (s *S3) resolveIfAbsent(ctx context.Context, key Key, o PutOptions, err error) (Info, error) {
	if o.mark == "" || !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrExists) {
		return Info{}, err
	}
	found, statErr := s.client.StatObject(ctx, s.bucket, string(key), minio.StatObjectOptions{})
	switch {
	case statErr != nil:
		return Info{}, err
	case found.UserMetadata[metaMark] == o.mark:
		return infoOf(key, found), nil
	}
	return Info{}, ErrExists
}

// upload sends the body in one PUT, or in parts if it is too large or of unknown size.
func (s *S3) upload(ctx context.Context, key Key, b *body, o PutOptions) (minio.UploadInfo, error) {
	var head []byte
	if b.size <= smallBytes {
		var err error
		if head, err = io.ReadAll(io.LimitReader(b, smallBytes+1)); err != nil {
			return minio.UploadInfo{}, err
		}
		if len(head) <= smallBytes {
			o.SHA256 = b.sum()
			content := bytes.NewReader(head)
			return s.client.PutObject(ctx, s.bucket, string(key), content, content.Size(), "", o.SHA256, putOptions(o))
		}
	}
	if b.size < 0 || b.size > singlePutBytes {
		return s.putParts(ctx, key, io.MultiReader(bytes.NewReader(head), b), b.size, putOptions(o))
	}
	return s.client.PutObject(ctx, s.bucket, string(key), b, b.size, "", "", putOptions(o))
}

// Get implements Store.
func (s *S3) Get(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, Info, error) {
	object, info, err := s.get(ctx, key, offset, length)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get object %s: %w", quote(string(key)), err)
	}
	return object, info, nil
}

func (s *S3) get(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, Info, error) {
	if err := cmp.Or(key.Validate(), checkRange(offset, length)); err != nil {
		return nil, Info{}, err
	}
	if length == 0 { // because HTTP has no empty range
		info, err := s.stat(ctx, key)
		return http.NoBody, info, err
	}
	var options minio.GetObjectOptions
	if span := httpRange(offset, length); span != "" {
		options.Set("Range", span)
	}
	object, found, header, err := s.client.GetObject(ctx, s.bucket, string(key), options)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		info, err := s.stat(ctx, key)
		return http.NoBody, info, err
	}
	if err != nil {
		return nil, Info{}, translateS3(ctx, err)
	}
	info := infoOf(key, found)
	if info.Size, err = wholeSize(found.Size, header.Get("Content-Range")); err != nil {
		return nil, Info{}, errors.Join(err, object.Close())
	}
	return &transfer{ctx: ctx, body: object}, info, nil
}

// httpRange returns the Range header, empty for the whole object.
func httpRange(offset, length int64) string {
	switch {
	case length < 0 && offset == 0:
		return ""
	case length < 0:
		return fmt.Sprintf("bytes=%d-", offset)
	}
	last := offset + length - 1
	if last < offset { // the sum overflowed: to the end
		return httpRange(offset, -1)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, last)
}

// wholeSize returns the size of the whole object: 1234 for the Content-Range "bytes 0-9/1234".
func wholeSize(contentLength int64, contentRange string) (int64, error) {
	if contentRange == "" {
		return contentLength, nil
	}
	size, err := strconv.ParseInt(contentRange[strings.LastIndexByte(contentRange, '/')+1:], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: the store answered with Content-Range %q", ErrUnavailable, contentRange)
	}
	return size, nil
}

// transfer is the body of a download; it translates errors.
type transfer struct {
	ctx  context.Context
	body io.ReadCloser
}

func (t *transfer) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	if err != nil && !isEnd(err) {
		err = translateS3(t.ctx, err)
	}
	return n, err
}

func (t *transfer) Close() error { return t.body.Close() }

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, key Key) (Info, error) {
	err := key.Validate()
	var info Info
	if err == nil {
		info, err = s.stat(ctx, key)
	}
	if err != nil {
		return Info{}, fmt.Errorf("stat object %s: %w", quote(string(key)), err)
	}
	return info, nil
}

func (s *S3) stat(ctx context.Context, key Key) (Info, error) {
	found, err := s.client.StatObject(ctx, s.bucket, string(key), minio.StatObjectOptions{})
	if err != nil {
		return Info{}, translateS3(ctx, err)
	}
	return infoOf(key, found), nil
}

func infoOf(key Key, o minio.ObjectInfo) Info {
	sum := o.UserMetadata[metaSHA256]
	if decoded, err := hex.DecodeString(sum); err != nil || len(decoded) == 0 {
		sum = "" // another program set it
	}
	return Info{
		Key: key, Size: o.Size, ETag: o.ETag, ContentType: o.ContentType,
		ModifiedAt: o.LastModified.UTC(), SHA256: sum,
	}
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key Key) error {
	err := key.Validate()
	if err == nil {
		err = s.client.RemoveObject(ctx, s.bucket, string(key), minio.RemoveObjectOptions{})
		err = translateS3(ctx, err)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("delete object %s: %w", quote(string(key)), err)
	}
	return nil
}

// List implements Store. It makes one request for a thousand keys.
func (s *S3) List(ctx context.Context, prefix string, after Key) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		err := validatePrefix(prefix)
		if err == nil && after != "" {
			err = after.Validate()
		}
		if err == nil {
			var goOn bool
			if goOn, err = s.list(ctx, prefix, after, yield); !goOn {
				return
			}
		}
		if err != nil {
			yield(Info{}, fmt.Errorf("list objects %s: %w", quote(prefix), err))
		}
	}
}

// list returns false when yield did.
func (s *S3) list(ctx context.Context, prefix string, after Key, yield func(Info, error) bool) (bool, error) {
	noOwner := false
	options := minio.ListObjectsOptions{Prefix: prefix, StartAfter: string(after), Recursive: true, FetchOwner: &noOwner}
	for object := range s.client.ListObjectsIter(ctx, s.bucket, options) {
		if object.Err != nil {
			return true, translateS3(ctx, object.Err)
		}
		if strings.HasPrefix(object.Key, notesPrefix) {
			continue
		}
		info := infoOf(Key(object.Key), object)
		info.ContentType = ""
		if !yield(info, nil) {
			return false, nil
		}
	}
	// When ctx ends, the iterator ends without an error.
	return true, ctx.Err()
}
