package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"
)

const (
	maxParts     = 10_000
	minPartBytes = 16 << 20
)

// putParts uploads a body that is too large for one PUT, or of unknown size. Unlike the client library's own multipart
// upload, it sends the condition with the last request and does not treat an error of r as its end.
func (s *S3) putParts(
	ctx context.Context, key Key, r io.Reader, size int64, o minio.PutObjectOptions,
) (_ minio.UploadInfo, err error) {
	name := string(key)
	buffer := make([]byte, max(minPartBytes, (size+maxParts-1)/maxParts))
	n, last, err := fill(r, buffer)
	if err != nil {
		return minio.UploadInfo{}, err
	}
	if last && size < 0 { // a small body: one request instead of four
		return s.client.PutObject(ctx, s.bucket, name, bytes.NewReader(buffer[:n]), int64(n), "", "", o)
	}
	id, err := s.begin(ctx, name, o)
	if err != nil {
		return minio.UploadInfo{}, err
	}
	defer func() {
		if err != nil {
			s.abortFailed(ctx, name, id)
		}
	}()
	parts, err := s.sendParts(ctx, name, id, r, buffer, n, last)
	if err != nil {
		return minio.UploadInfo{}, err
	}
	info, err := s.client.CompleteMultipartUpload(ctx, s.bucket, name, id, parts, o)
	if err == nil {
		s.dropNote(ctx, name, id)
	}
	return info, err
}

// sendParts sends the first n bytes of the buffer and, unless they are the last of the body, the rest of r.
func (s *S3) sendParts(
	ctx context.Context, name, id string, r io.Reader, buffer []byte, n int, last bool,
) (parts []minio.CompletePart, err error) {
	for {
		if len(parts) == maxParts {
			return nil, fmt.Errorf("%w: it has more than %d bytes", ErrMismatch, maxParts*len(buffer))
		}
		part, err := s.putPart(ctx, name, id, len(parts)+1, buffer[:n])
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if last {
			return parts, nil
		}
		if n, last, err = fill(r, buffer); err != nil {
			return nil, err
		}
		if n == 0 {
			return parts, nil // the previous part was the last, and full
		}
	}
}

// fill reads until the buffer is full or r ends, and reports whether r has ended.
func fill(r io.Reader, buffer []byte) (n int, last bool, err error) {
	for n < len(buffer) {
		read, err := r.Read(buffer[n:])
		n += read
		if isEnd(err) {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

func (s *S3) putPart(ctx context.Context, name, id string, n int, content []byte) (minio.CompletePart, error) {
	size := int64(len(content))
	part, err := s.client.PutObjectPart(ctx, s.bucket, name, id, n, bytes.NewReader(content), size, minio.PutObjectPartOptions{})
	return minio.CompletePart{PartNumber: n, ETag: part.ETag}, err
}

// StartMultipart implements MultipartSigner.
func (s *S3) StartMultipart(ctx context.Context, key Key) (string, error) {
	err := key.Validate()
	var id string
	if err == nil {
		id, err = s.begin(ctx, string(key), putOptions(PutOptions{}))
		err = translateS3(ctx, err)
	}
	if err != nil {
		return "", fmt.Errorf("start the upload of object %s: %w", quote(string(key)), err)
	}
	return id, nil
}

// Complete implements MultipartSigner.
func (s *S3) Complete(ctx context.Context, key Key, uploadID string, etags []string) error {
	parts := make([]minio.CompletePart, len(etags))
	for i, etag := range etags {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: strings.Trim(etag, `"`)}
	}
	err := key.Validate()
	if err == nil {
		_, err = s.client.CompleteMultipartUpload(ctx, s.bucket, string(key), uploadID, parts, minio.PutObjectOptions{})
		err = translateS3(ctx, err)
	}
	if err == nil {
		s.dropNote(ctx, string(key), uploadID)
	}
	if err != nil {
		return fmt.Errorf("complete the upload of object %s: %w", quote(string(key)), err)
	}
	return nil
}

// Abort implements MultipartSigner.
func (s *S3) Abort(ctx context.Context, key Key, uploadID string) error {
	err := key.Validate()
	if err == nil {
		err = translateS3(ctx, s.abort(ctx, string(key), uploadID))
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("abort the upload of object %s: %w", quote(string(key)), err)
	}
	return nil
}
